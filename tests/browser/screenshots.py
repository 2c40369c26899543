"""Makes pictures of every page: light, dark, phone, Chinese. `python -m tests.browser.screenshots [folder]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from tests.browser import rig
from tests.browser.pages import all_pages

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light"},
    "dark": {"color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True},
    "chinese": {"locale": "zh-CN"},
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        server = rig.Server(Path(data))
        browser = playwright.chromium.launch(executable_path=rig.CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        try:
            server.seed()
            for look, options in LOOKS.items():
                with rig.watched(browser, server, **options) as seen:
                    for name, path in all_pages(server).items():
                        page = seen.go(path)
                        page.wait_for_timeout(250)
                        page.screenshot(path=folder / f"{name}-{look}.png", full_page=True)
        finally:
            browser.close()
            server.stop()
    print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "screenshots"))
