"""A headless Chromium, driven through its own protocol over a pipe: no driver and no port are needed."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars",
    "--disable-extensions", "--disable-background-networking", "--remote-debugging-pipe",
]  # fmt: skip
PATIENCE_S = 30.0

_KEYS = {"ArrowDown": 40, "ArrowUp": 38, "ArrowLeft": 37, "ArrowRight": 39, "Enter": 13, "Escape": 27, "Tab": 9}


def chromium() -> str | None:
    """Where Chromium is, if it is here (Debian: apt-get install chromium)."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One tab.

    Attributes:
        complaints: errors of scripts and of the security policy since they were last looked at.
    """

    def __init__(self, to: int, answers: int) -> None:
        self._to, self._from, self._number, self._session = to, answers, 0, ""
        self._unread = b""
        self.complaints: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Send one command of the protocol and wait for its answer."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + PATIENCE_S
        while True:
            found = self._next(until, method)
            if found.get("id") == self._number:
                if "navigated" in found.get("error", {}).get("message", ""):
                    return {"gone": True}
                assert "error" not in found, (method, found["error"])
                return dict(found["result"])

    def _next(self, until: float, what: str) -> dict[str, Any]:
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._from], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"Chromium did not answer {what} in {PATIENCE_S} s"
            part = os.read(self._from, 1 << 20)
            assert part, "Chromium ended"
            self._unread += part
        raw, _, self._unread = self._unread.partition(b"\0")
        found: dict[str, Any] = json.loads(raw)
        params = found.get("params", {})
        if found.get("method") == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        if found.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.complaints.append(params["entry"]["text"] + " " + params["entry"].get("url", "")[:200])
        return found

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is waited for."""
        words = {
            "expression": script,
            "awaitPromise": True,
            "returnByValue": True,
            "allowUnsafeEvalBlockedByCSP": False,
        }
        done = self.ask("Runtime.evaluate", **words)
        while "gone" in done:  # the page was loaded anew meanwhile
            done = self.ask("Runtime.evaluate", **words)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    def wait(self, condition: str, seconds: float = PATIENCE_S) -> None:
        """Until an expression is true."""
        until = time.monotonic() + seconds
        while not self.run(f"Boolean({condition})"):
            said = self.run("document.getElementById('message')?.textContent")
            assert time.monotonic() < until, f"never true: {condition} (the page says: {said}; {self.complaints})"
            time.sleep(0.02)

    def leave(self) -> None:
        """Go to an empty page."""
        self.ask("Page.navigate", url="about:blank")
        self.wait("location.href === 'about:blank'")

    def open(self, address: str, ready: str = "document.readyState === 'complete'") -> None:
        """Go to an address and wait until a condition holds there."""
        self.leave()
        self.ask("Page.navigate", url=address)
        self.wait(f"location.href !== 'about:blank' && {ready}")

    def size(self, width: int, height: int, mobile: bool = False) -> None:
        """Of the window, in CSS pixels."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)

    def media(self, medium: str = "", **features: str) -> None:
        """What the page is told of its medium, such as ``prefers_color_scheme="dark"``."""
        named = [{"name": name.replace("_", "-"), "value": value} for name, value in features.items()]
        self.ask("Emulation.setEmulatedMedia", media=medium, features=named)

    def press(self, key: str) -> None:
        """One key."""
        code = _KEYS.get(key, 0)
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        self.ask("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self.ask("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def click(self, x: float, y: float) -> None:
        """The pointer moves there and clicks."""
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def picture(self, path: Path) -> None:
        """What the window shows, as a PNG."""
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def browser(folder: Path, *flags: str) -> Iterator[Browser]:
    """A Chromium of its own, with its profile in a folder."""
    found = chromium()
    assert found
    to_browser, from_us = os.pipe()
    from_browser, to_us = os.pipe()

    def connect() -> None:
        """It reads commands from descriptor 3 and writes answers to 4."""
        away = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, 10) for descriptor in (to_browser, to_us)]
        os.dup2(away[0], 3)
        os.dup2(away[1], 4)

    words = [found, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}", "about:blank"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(words, pass_fds=(3, 4), preexec_fn=connect, stdout=quiet, stderr=quiet)
    os.close(to_browser)
    os.close(to_us)
    try:
        yield Browser(from_us, from_browser)
    finally:
        os.close(from_us)
        os.close(from_browser)
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
