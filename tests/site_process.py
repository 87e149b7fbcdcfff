"""`ppsdk run --config` as a process, on cameras of this machine."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

# Every class is an event all the time, whatever the scores are: what is open stays open.
ALWAYS = """\
[events]
on_threshold = 0.0
independent = true
background = []
"""


def camera_table(name, url, more=""):
    return f'[[cameras]]\nname = "{name}"\nurl = "{url}"\n{more}\n'


def site_text(model_dir, *tables, timeout_s=10.0):
    head = f'model = "{model_dir}"\nthreads = 1\nlength_s = 0.8\nstride_s = 0.4\n'
    head += f"timeout_s = {timeout_s}\n"
    return head + ALWAYS + "\n".join(tables)


class SiteProcess:
    """`with SiteProcess(folder, text) as site:` runs folder/site.toml; its JSON lines are to go to
    folder/events.jsonl.
    """

    def __init__(self, folder, text, *arguments, **environment):
        self.folder, self.file = folder, folder / "site.toml"
        self.file.write_text(text, "utf-8")
        self._errors = (folder / "stderr").open("w+")
        command = [sys.executable, "-m", "ppsdk", "run", "--config", self.file, *arguments]
        self.process = subprocess.Popen(
            list(map(str, command)),
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=os.environ | environment,
        )

    @property
    def errors(self):
        return (self.folder / "stderr").read_text("utf-8")

    def events(self, name="events.jsonl"):
        """Of whole lines."""
        try:
            lines = (self.folder / name).read_text("utf-8").split("\n")[:-1]
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in lines]

    def wait_for(self, condition, timeout_s=90):
        until_s = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, f"is over: {self.errors}"
            assert time.monotonic() < until_s, f"waited in vain: {self.errors}"
            time.sleep(0.05)

    def wait_for_events(self, count=1, **values):
        """Records that have these values."""

        def found():
            return [e for e in self.events() if all(e[k] == v for k, v in values.items())]

        self.wait_for(lambda: len(found()) >= count)
        return found()

    def reload(self, text):
        """Returns what is said of it."""
        self.file.write_text(text, "utf-8")
        seen = len(self.errors)
        self.process.send_signal(signal.SIGHUP)
        self.wait_for(lambda: "reloaded" in self.errors[seen:])
        return self.errors[seen:]

    def stop(self, timeout_s=90):
        """SIGTERM; returns the exit code and stdout."""
        self.process.send_signal(signal.SIGTERM)
        told, _ = self.process.communicate(timeout=timeout_s)
        return self.process.returncode, told

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        self._errors.close()
