"""A browser for each worker, used in each message and closed when the worker exits."""

import shutil

from playwright.sync_api import sync_playwright

import bizzmq

browser = None


@bizzmq.on_worker_boot
def start():
    global playwright, browser
    playwright = sync_playwright().start()
    browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])


@bizzmq.on_worker_shutdown
def stop():
    browser.close()
    playwright.stop()


def handler(body):
    page = browser.new_page()
    page.set_content(f"<h1>{body}</h1><script>document.title = {body} + 1</script>")
    assert (page.inner_text("h1"), page.title()) == (str(body), str(body + 1))
    page.close()
