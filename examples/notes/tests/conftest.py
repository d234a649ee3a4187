"""Settings of the site under test, which it reads when it is imported."""

import os

os.environ["WEBDEMO_SECRET_KEY"] = "a key for tests, which is no secret"
