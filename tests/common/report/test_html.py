import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from common import files
from common.datasets import manifests
from common.files import PROJECT
from common.published import findings
from common.report import collect, html, view
from common.results import overview, verdicts

RESULTS = PROJECT / "results"
VOID = {"meta", "link", "img", "br", "input"}


class Outline(HTMLParser):
    """The tags of a page with their attributes; fails where one is not closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def render(project):
    return html.render(project / "results", project)


def text_of(html):
    return " ".join(
        re.sub(r"<[^>]+>", " ", re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)).split()
    )


@pytest.fixture(scope="module")
def papers():
    """The papers as they are."""
    return collect.gather(RESULTS)


@pytest.fixture(scope="module")
def committed():
    """The page about the results as they are."""
    return html.render(RESULTS)


def test_the_committed_report_is_current(committed):
    path = RESULTS / html.NAME
    assert path.exists(), "results/index.html is missing: run `make report` and commit it"
    current = html.without_thumbnails(path.read_text(encoding="utf-8"))
    assert current == html.without_thumbnails(committed), (
        "results/index.html is not current: run `make report`"
    )


def test_every_published_number_of_every_paper_is_on_the_page(committed, papers):
    for paper in papers:
        article = committed.partition(f'<article id="{paper.id}"')[2].partition("</article>")[0]
        shown = text_of(article.replace(view.THOUSANDS, ""))
        for judged in paper.overview.judged:
            assert judged.reference.title in shown.replace("&#39;", "'")
            for row, metric, printed in judged.reference.numbers():
                assert printed in shown
                place = view.number_id(paper.id, (judged.reference.id, row, metric))
                assert article.count(f'id="{place}"') == 1
        found = re.findall(rf'<li class="found[^"]*" id="{paper.id}-finding-\d+"', committed)
        assert len(found) == len(paper.overview.findings)
        for one in paper.overview.claims:
            assert one.claim.text in shown.replace("&#39;", "'").replace("&#34;", '"')


def test_the_first_screen_counts_each_number_once(project):
    page = render(project)
    numbers = re.findall(r"<dt>([a-z ]+)</dt><dd>(\d+)</dd>", page)
    assert numbers == [
        ("agree", "2"),
        ("differ", "1"),
        ("cannot be told yet", "3"),
        ("cannot be told by any number of runs", "0"),
        ("cannot all be right as printed", "4"),
    ]
    assert sum(int(count) for _, count in numbers) == 10
    told = text_of(page.partition("<h1>")[2])
    assert told.startswith(
        "Do the published numbers hold? Of 10 numbers that two papers print, 2 agree with ours, 1 "
        "differs, 4 cannot all be right as printed, and 3 cannot be told yet"
    )


def test_the_first_screen_gives_each_paper_its_claim_command_and_state(project):
    glance = render(project).partition('<table class="glance')[2].partition("</table>")[0]
    alpha, beta = re.findall(r"<tr>\s*<th scope=\"row\">.*?</tr>", glance, re.DOTALL)
    told = text_of(alpha)
    assert told.startswith("Alpha nets make alpha-table1 big nets are better, Dice 0.9001")
    assert "not tested" in told  # one side was trained for less
    assert "0.8500" in told
    assert told.endswith("2 agree, 1 differ, 2 cannot all be right as printed")
    assert "An invented paper" in beta


def test_a_changed_resolution_changes_page_and_counts_at_once(project):
    before = render(project)
    path = project / "reproductions/alpha/published/table1.yaml"
    lower = 'aggregation: mean over images, resolution: "0.02", resolution_reason: a test}\n  iou'
    text = path.read_text()
    path.write_text(text.replace("aggregation: mean over images}\n  iou", lower))
    after = render(project)
    assert path.read_text() != text
    agree = "<dt>agree</dt><dd>{}</dd>"
    assert agree.format(2) in before
    assert agree.format(1) in after
    assert "Ours may lie anywhere in 0.750–0.850" in after


def test_nothing_is_read_back_from_exported_comparisons(project):
    before = render(project)
    files.write_text(project / "results/alpha/table1_vs_published.csv", "broken\n")
    assert render(project) == before


def test_equal_results_give_equal_bytes(project):
    once = render(project)
    moved = project.parent / "elsewhere"
    shutil.copytree(project, moved)
    assert render(moved) == once
    assert str(project) not in once


def test_the_page_asks_for_nothing_and_runs_no_script(committed, project):
    for text in (committed, render(project)):
        tags = Outline(text).tags
        assert "script" not in {tag for tag, _ in tags}
        sources = [attributes["src"] for _, attributes in tags if "src" in attributes]
        assert all(source.startswith("data:") for source in sources)
        linked = [attributes["href"] for tag, attributes in tags if tag == "link"]
        assert linked == ["data:,"]
        assert "url(" not in text
        assert "@import" not in text


def test_every_link_inside_the_page_has_its_end_and_every_name_is_given_once(committed, project):
    for text in (committed, render(project)):
        tags = Outline(text).tags
        ids = [attributes["id"] for _, attributes in tags if "id" in attributes]
        assert len(ids) == len(set(ids))
        links = [attributes["href"] for tag, attributes in tags if tag == "a"]
        assert {link[1:] for link in links if link.startswith("#")} <= set(ids)
        labelled = [
            attributes["aria-labelledby"]
            for _, attributes in tags
            if "aria-labelledby" in attributes
        ]
        assert set(labelled) <= set(ids)


def test_every_link_beside_the_page_leads_to_a_file_and_says_that_it_needs_the_folder(
    committed, papers
):
    links = [attributes for tag, attributes in Outline(committed).tags if tag == "a"]
    outside = [one for one in links if not one["href"].startswith("#")]
    web = [one["href"] for one in outside if one["href"].startswith("https://")]
    beside = [one for one in outside if not one["href"].startswith("https://")]
    for one in beside:
        assert one["class"] == "beside", one
        assert (RESULTS / one["href"].partition("#")[0]).exists(), one
    figures = sum(len(paper.figures) for paper in papers)
    assert len(beside) > figures
    abouts = [paper.overview.about for paper in papers]
    assert {about.link for about in abouts if about.link} <= set(web)
    assert {manifests.load_manifest(about.data_set).homepage for about in abouts} <= set(web)


def test_numbers_and_findings_lead_to_each_other(project):
    page = render(project)
    assert '<a class="mark impossible" href="#alpha-finding-1"' in page
    assert '<a href="#alpha-table1-big-dice">Dice 0.9001</a>' in page


def test_what_files_say_is_text_and_not_markup(project):
    text = render(project)
    assert "Big &lt;U-Net&gt;" in text
    assert "<U-Net>" not in text
    # Of a README only emphasis and code are taken over.
    assert "<em>Nets</em>, 2020, <code>code</code> and &lt;b&gt;more&lt;/b&gt;." in text


def test_synthetic_results_are_stamped_and_say_nothing_about_the_papers(project):
    page = render(project)
    assert "Synthetic images" not in text_of(page)
    assert '<section id="audit"' in page
    path = project / "results/alpha/table1.csv"
    path.write_text(path.read_text().replace("20 images", "alpha phantoms (synthetic)"))
    (project / "reproductions/beta/published/table1.yaml").unlink()
    page = render(project)
    assert text_of(page.partition("<body>")[2]).startswith("Skip to the papers Synthetic images.")
    assert '<section id="audit"' not in page  # the audit is of the real paper
    assert "The big net is better" not in page  # and so are its claims


def test_synthetic_tables_beyond_the_paper_are_stamped_too(project):
    path = project / "results/alpha/ablation.csv"
    path.write_text(path.read_text().replace("20 images", "alpha phantoms (synthetic)"))
    assert "Synthetic images." in text_of(render(project))


def test_phantoms_are_known_by_their_title(phantom_root):
    assert overview.is_synthetic(manifests.find("tnbc", phantom_root).title)


def test_every_verdict_and_severity_is_explained_and_has_a_sign(committed):
    assert set(verdicts.VERDICTS) < set(html.SIGNS)
    assert set(html.CALLED) == set(findings.SEVERITIES)
    legend = text_of(committed.partition('<section id="reading-this"')[2])
    for name in (*verdicts.VERDICTS, *findings.SEVERITIES):
        assert name in legend


def luminance(colour):
    digits = colour * 2 if len(colour) == 3 else colour
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(scheme):
    css = (PROJECT / "common/report/style.css").read_text()
    colours = dict(
        re.findall(r"--(\w+): #(\w{6});", re.findall(r":root \{(.*?)\}", css, re.DOTALL)[scheme])
    )
    for text in (
        "ink",
        "quiet",
        "link",
        "good",
        "above",
        "below",
        "doubt",
        "none",
        "ours",
        "mended",
    ):
        for ground in ("paper", "raised", "flag"):
            bright, dim = sorted(
                (luminance(colours[text]), luminance(colours[ground])), reverse=True
            )
            assert (bright + 0.05) / (dim + 0.05) >= 4.5, (text, ground)


@pytest.fixture
def results(project, monkeypatch):
    """The results of the small project, which the command then works on."""
    monkeypatch.setattr(html.render, "__defaults__", (project,))
    return project / "results"


def test_the_command_writes_and_checks(results, capsys):
    html.main(["--results", str(results)])
    assert "written: " in capsys.readouterr().out
    html.main(["--results", str(results), "--check"])
    (results / "alpha/ablation.csv").unlink()
    with pytest.raises(SystemExit):
        html.main(["--results", str(results), "--check"])
    assert "run `make report` and commit" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        html.main(["--results", str(results / "nowhere")])
    assert "no such folder" in capsys.readouterr().err


def test_other_compression_of_thumbnails_is_no_change(project):
    text = render(project)
    changed = re.sub(
        r'src="data:image/webp;base64,.{20}', 'src="data:image/webp;base64,other', text
    )
    assert changed != text
    assert html.without_thumbnails(changed) == html.without_thumbnails(text)
    digest = re.search(r'data-sha256="(\w+)"', text).group(1)
    assert html.without_thumbnails(text.replace(digest, "0" * 64)) != html.without_thumbnails(text)


def test_a_damaged_result_leaves_the_old_page(results, capsys):
    files.write_text(results / html.NAME, "old")
    (results / "alpha/table1.csv").write_text("broken")
    with pytest.raises(SystemExit):
        html.main(["--results", str(results)])
    assert "table1.csv" in capsys.readouterr().err
    assert (results / html.NAME).read_text() == "old"


def test_no_tensorflow_is_loaded():
    heavy = "sys.exit(any(name in sys.modules for name in ('tensorflow', 'matplotlib')))"
    code = f"import sys; from common.report import html; {heavy}"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT).returncode == 0
