"""What all tests share: the servers, and projects to run against them."""

from __future__ import annotations

pytest_plugins = ["tests.fix_servers", "tests.fix_projects"]
