"""Checks of a report in Chromium: no external resources, no console messages, keyboard control, a layout for small
screens.

    pip install playwright
    python tests/peers/report.py FILE.html --chromium /usr/bin/chromium --screenshot OUT.png [--width 1280] [--dark]

The page must be of at least one evaluated run, or --unevaluated says that none is, or --query that it is a query's.
One line a check; the exit status is 0 if all hold.
"""

import argparse
import pathlib
import sys

from playwright.sync_api import Error, sync_playwright

SECTIONS = ["runs", "results", "training", "figure1", "cmc", "pairs", "map", "lists", "settings"]
UNEVALUATED = ["runs", "results", "training", "figure1", "settings"]


class Checks:
    """Counts what holds and prints what does not."""

    def __init__(self):
        self.failed = 0

    def __call__(self, name, holds, detail=""):
        print(f"{'ok  ' if holds else 'FAIL'} {name}{': ' + str(detail) if detail and not holds else ''}")
        self.failed += not holds


def open_page(browser, url, said, **options):
    context = browser.new_context(**options)
    # Everything is in the file; what is not there at once never comes.
    context.set_default_timeout(5000)
    page = context.new_page()
    page.on("console", lambda message: said.append(f"console {message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"page error: {error}"))
    page.on("request", lambda request: said.append(f"request: {request.url}")
            if request.url != url and not request.url.startswith("data:") else None)
    page.goto(url, wait_until="load")
    return page


def cells(page):
    """The table of the threshold control, row by row."""
    rows = page.locator("#threshold-table tbody tr").all()
    return [[cell.inner_text() for cell in row.locator("td.number").all()] for row in rows]


def number(text):
    return float(text.replace("%", "").replace(",", "").split(" of ")[0])


def content(page, check, evaluated):
    check("one heading of the page, and it names a run", page.locator("h1").count() == 1
          and page.locator("h1").inner_text().strip() != "")
    for section in SECTIONS if evaluated else UNEVALUATED:
        found = page.locator(f"section#{section}")
        check(f"section {section} with a heading", found.count() == 1 and found.locator("h2").first.is_visible())
    charts = page.locator("svg.chart")
    labelled = page.get_by_role("img").and_(charts).count()
    check("charts are drawn and labelled", charts.count() >= (10 if evaluated else 7) and labelled == charts.count(),
          (charts.count(), labelled))
    drawn = charts.evaluate_all("all => all.map(svg => svg.getBBox().width * svg.getBBox().height)")
    check("no chart is empty", all(area > 1e4 for area in drawn), drawn)
    scales = charts.evaluate_all("all => all.map(svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width)")
    check("all charts have one scale, and so one size of letters", max(scales) - min(scales) < 0.02, scales)
    check("elements have different ids", page.evaluate(
        "() => { const ids = [...document.querySelectorAll('[id]')].map(e => e.id); "
        "return new Set(ids).size === ids.length }"))
    check("links lead somewhere", page.evaluate(
        "() => [...document.querySelectorAll('a')].every(a => document.querySelector(a.getAttribute('href')))"))
    levels = page.locator("h1, h2, h3, h4").evaluate_all("all => all.map(h => Number(h.tagName[1]))")
    check("headings leave out no level", all(b <= a + 1 for a, b in zip(levels, levels[1:])), levels)
    if not evaluated:
        hint = page.locator("#unevaluated").inner_text()
        check("the page says how to evaluate", "bcreid eval --run" in hint and "--data DIR" in hint, hint)
        return
    values = [number(v) for v in page.locator("table.metrics tbody td").all_inner_texts()]
    check("metrics are percentages", values and len(values) % 7 == 0 and all(0 <= v <= 100 for v in values), values)
    rows = page.locator("table.metrics").first.locator("tbody tr").count()
    bold = page.locator("table.metrics").first.locator("strong").count()
    check("the best is bold where there is a choice", bold >= 7 if rows > 1 else bold == 0, (rows, bold))
    notes = page.locator("#results .notes").first.inner_text()
    words = ["AP:", "Distance:", "Images:", "Query:", "Feature:", "Cameras:"]
    check("tables say what they mean", all(word in notes for word in words), notes)
    images = page.locator(".query img")
    loaded = images.evaluate_all("all => all.filter(i => i.complete && i.naturalWidth > 0).length")
    unread = page.locator(".query .unread").count()
    check("thumbnails are there, or said to be unreadable", loaded == images.count() and loaded + unread > 0,
          (loaded, images.count(), unread))
    words = page.locator("img").evaluate_all("all => all.map(i => i.alt)")
    check("every image has a text for screen readers", words and all("camera" in alt for alt in words), words[:3])
    columns = page.locator(".strip li").evaluate_all(
        "all => all.map(li => [...li.querySelectorAll('img.map')].map(i => i.getBoundingClientRect().top))")
    tops = {round(column[0]) for column in columns[:11] if column}
    check("maps of a list stand in a row", len(tops) <= 1, tops)
    marks = page.locator(".strip .mark").all_inner_texts()
    check("every image of a list has a word", marks and all(m.split()[-1] in ("correct", "wrong", "cam.", "junk")
                                                             for m in marks))
    strips = page.locator(".strip").evaluate_all("all => all.map(s => s.children.length)")
    check("lists have images", strips and all(0 < n <= 11 for n in strips), strips)


def keyboard(page, check):
    page.keyboard.press("Tab")
    check("the first stop skips to the results", page.evaluate("document.activeElement.className") == "skip")
    page.keyboard.press("Enter")
    check("... and does", page.evaluate("document.activeElement.id") == "main")
    stops = []
    for _ in range(80):
        page.keyboard.press("Tab")
        stop = page.evaluate("document.activeElement.id || document.activeElement.className || "
                             "document.activeElement.tagName")
        if stop == "BODY":
            break
        stops.append(stop)
    check("the tab key reaches the slider, the field, one list and the settings, in this order",
          [s for s in stops if s in ("far-slider", "far-number", "strip", "SUMMARY")]
          == ["far-slider", "far-number", "strip", "SUMMARY"], stops)

    page.locator("#far-slider").focus()
    before, line = cells(page), page.locator(".threshold-line").first.get_attribute("x1")
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    after, moved = cells(page), page.locator(".threshold-line").first.get_attribute("x1")
    check("a larger rate raises thresholds and both rates",
          all(number(b[0]) < number(a[0]) and number(b[1]) < number(a[1]) and number(b[3]) <= number(a[3])
              for b, a in zip(before, after)), (before, after))
    check("the line in the histogram moves along", float(line) < float(moved), (line, moved))
    wanted = page.locator("#far-number").input_value()
    check("the field shows the slider's rate", all(number(a[1]) <= float(wanted) * 1.001 for a in after),
          (wanted, after))
    page.locator("#far-number").focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("10")
    typed = cells(page)
    check("a rate can be typed", all(number(row[1]) <= 10 for row in typed) and typed != after, typed)
    # The table made without a script says the same for this rate.
    heads = page.locator("#far-table thead tr").first.locator("th").all_inner_texts()
    if "FAR 10 %" in heads:
        fixed = [row.locator("td.number").all_inner_texts() for row in page.locator("#far-table tbody tr").all()]
        same = all(f[0] == t[0] and abs(number(f[1]) - number(t[3])) < 0.006
                   for f, t in zip(fixed, typed) if f[0] != "–")
        check("both tables agree", same, (fixed, typed))

    strips = page.locator(".strip")
    strips.first.focus()
    page.keyboard.press("ArrowDown")
    if strips.count() > 1:
        check("down goes to the next list", strips.nth(1).evaluate("s => s === document.activeElement"))
        page.keyboard.press("ArrowUp")
    check("up comes back", strips.first.evaluate("s => s === document.activeElement"))
    page.locator("summary").focus()
    page.keyboard.press("Enter")
    check("the settings open", page.locator("details table").is_visible())


def query_content(page, check):
    """A page of `bcreid query --out FILE.html --maps`."""
    check("one heading of the page", page.locator("h1").count() == 1)
    images = page.locator("img")
    loaded = images.evaluate_all("all => all.filter(i => i.complete && i.naturalWidth > 0).length")
    check("images are there", loaded == images.count() > 0, (loaded, images.count()))
    words = images.evaluate_all("all => all.map(i => i.alt)")
    check("every image has a text for screen readers", all(words), words[:3])
    maps = page.locator("img.map").count()
    check("every image has two maps", maps > 0 and maps * 3 == 2 * images.count(), (maps, images.count()))
    strips = page.locator(".strip")
    check("lists have images", strips.count() > 0 and all(strips.evaluate_all(
        "all => all.map(s => s.children.length)")))
    # Three images of one column are equally wide and begin at the same place.
    columns = page.locator(".strip li").evaluate_all(
        "all => all.map(li => [...li.querySelectorAll('img')].map(i => i.getBoundingClientRect().left))")
    check("maps lie below their images", all(max(c) - min(c) < 1.5 for c in columns if c), columns[:2])
    page.keyboard.press("Tab")
    check("the tab key reaches the first list", strips.first.evaluate("s => s === document.activeElement"))


def query_narrow(page, check):
    strip = page.locator(".strip").first
    strip.focus()
    room = strip.evaluate("s => s.scrollWidth - s.clientWidth")
    page.keyboard.press("ArrowRight")
    page.wait_for_timeout(400)
    check("arrow keys move along a list that is wider than the page",
          room > 0 and strip.evaluate("s => s.scrollLeft") > 0, room)


def narrow(page, check):
    width, inner = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    check("no page scroll to the side at 360 pixels", width <= inner, (width, inner))
    out = page.evaluate("""() => [...document.querySelectorAll('body *')].filter(e => {
        if (e.closest('.hidden, .skip, svg')) return false;
        for (let p = e.parentElement; p; p = p.parentElement)
            if (/(auto|scroll)/.test(getComputedStyle(p).overflowX)) return false;
        const box = e.getBoundingClientRect();
        return box.width > 0 && (box.right > window.innerWidth + 1 || box.left < -1);
    }).map(e => e.tagName + '.' + e.className)""")
    check("nothing sticks out of the page", not out, out[:5])


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("file", type=pathlib.Path)
    arguments.add_argument("--chromium", required=True)
    arguments.add_argument("--screenshot", type=pathlib.Path)
    arguments.add_argument("--width", type=int, default=1280)
    arguments.add_argument("--dark", action="store_true")
    arguments.add_argument("--query", action="store_true", help="the page is of bcreid query, with maps")
    arguments.add_argument("--unevaluated", action="store_true", help="the page is of runs without an evaluation")
    asked = arguments.parse_args()
    url = asked.file.resolve().as_uri()
    check, said = Checks(), []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=asked.chromium,
                                             args=["--no-sandbox", "--headless", "--disable-gpu"])
        page = open_page(browser, url, said, viewport={"width": 1280, "height": 900})
        if asked.query:
            query_content(page, check)
        else:
            content(page, check, not asked.unevaluated)
        if not asked.unevaluated and not asked.query:
            try:
                keyboard(page, check)
            except Error as error:
                check("the controls are there", False, str(error).splitlines()[0])
        page = open_page(browser, url, said, viewport={"width": 360, "height": 740})
        narrow(page, check)
        if asked.query:
            query_narrow(page, check)
        page = open_page(browser, url, said, viewport={"width": 1280, "height": 900}, java_script_enabled=False)
        if not asked.unevaluated and not asked.query:
            check("without scripts the control that needs them is not shown",
                  not page.locator("#threshold").is_visible() and page.locator("#far-table").is_visible())
        check("no request, no message, no error", not said, said[:5])
        if asked.screenshot:
            scheme = "dark" if asked.dark else "light"
            page = open_page(browser, url, said, viewport={"width": asked.width, "height": 900}, color_scheme=scheme)
            page.screenshot(path=asked.screenshot, full_page=True, timeout=60000)
        browser.close()
    print(f"{check.failed} failed" if check.failed else "all hold")
    return 1 if check.failed else 0


if __name__ == "__main__":
    sys.exit(main())
