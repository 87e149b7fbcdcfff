"""PP-TSMv2 trained on one's own classes, in torch. Nothing else imports it."""
