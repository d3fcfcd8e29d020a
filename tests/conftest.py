"""What all tests share: the servers, and projects to run against them."""

from __future__ import annotations

import hypothesis

pytest_plugins = ["tests.fix_servers", "tests.fix_projects"]

# how long an example takes depends on what else the machine does
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")
