import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pandas
import pytest

from common import files
from common.datasets import manifests
from common.files import PROJECT
from common.published import findings
from common.report import collect, html, numbers
from common.results import tables

RESULTS = PROJECT / "results"
VOID = {"meta", "link", "img", "br"}


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
def committed():
    """The page about the results as they are."""
    return html.render(RESULTS)


def test_the_committed_report_is_current(committed):
    path = RESULTS / html.NAME
    assert path.exists(), "results/index.html is missing: run `make report` and commit it"
    current = html.without_pictures(path.read_text(encoding="utf-8"))
    assert current == html.without_pictures(committed), (
        "results/index.html is not current: run `make report`"
    )


def test_every_published_number_of_every_paper_is_on_the_page(committed):
    for paper in collect.gather(RESULTS):
        article = committed.partition(f'<article id="{paper.id}"')[2].partition("</article>")[0]
        shown = text_of(article.replace(numbers.THOUSANDS, ""))
        for judged in paper.judged:
            assert judged.reference.title in text_of(article).replace("&#39;", "'")
            for _, _, printed in judged.reference.numbers():
                assert printed in shown
        assert len(re.findall(r'<li id="[^"]*-finding-\d+"', article)) == len(paper.findings)


def test_the_first_screen_counts_each_number_once(project):
    alpha, beta = map(html._summary, collect.gather(project / "results", project))
    assert (alpha.published, alpha.regenerated, alpha.holds) == (5, 4, 3)
    assert alpha.verdicts == {"match": 2, "within": 1, "below": 1, "not run": 1}
    assert alpha.rests == ["20 images, quick profile, encoder weights none, 2 seeds"]
    assert alpha.severities == beta.severities == {"impossible": 1}
    assert (beta.published, beta.regenerated, beta.holds, beta.rests) == (5, 0, 0, [])
    shown = text_of(render(project))
    assert "10 published numbers 4 regenerated 3 hold" in " ".join(
        f"{number} {name}"
        for name, number in re.findall(r"<dt>(.*?)</dt><dd>(\d+)</dd>", render(project))
    )
    assert "4 of 5 numbers regenerated, 3 hold" in shown
    assert "0 of 5 numbers regenerated:" in shown


def test_a_trial_as_published_counts_before_one_that_is_corrected_or_farther_from_the_paper(
    project,
):
    path = project / "results/alpha/table1_vs_published.csv"
    verdicts = tables.read(path)
    near = verdicts.assign(profile="paper", verdict="above", n_seeds=1)
    near.loc[near["metric"] == "iou", ["n_seeds", "verdict"]] = 0, "not run"
    tables.write(pandas.concat([verdicts, near])[::-1], path)  # whatever the order of the file
    alpha = html._summary(collect.gather(project / "results", project)[0])
    assert alpha.verdicts == {"above": 3, "below": 1, "not run": 1}


def test_equal_evidence_gives_equal_bytes(project):
    once = render(project)
    moved = project.parent / "elsewhere"
    shutil.copytree(project, moved)
    assert render(moved) == once
    assert str(project) not in once


def test_the_page_asks_for_nothing(committed, project):
    for text in (committed, render(project)):
        tags = Outline(text).tags
        assert "script" not in {tag for tag, _ in tags}
        addresses = [
            value
            for _, attributes in tags
            for name, value in attributes.items()
            if name in ("src", "href")
        ]
        assert not [address for address in addresses if re.match(r"(?!data:)\w+:|//", address)]
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


def test_links_to_figures_lead_beside_the_page(committed):
    links = [attributes["href"] for tag, attributes in Outline(committed).tags if tag == "a"]
    outside = [link for link in links if not link.startswith("#")]
    assert all((RESULTS / link).exists() for link in outside)
    assert len(outside) == sum(len(paper.figures) for paper in collect.gather(RESULTS))


def test_what_files_say_is_text_and_not_markup(project):
    text = render(project)
    assert "Big &lt;U-Net&gt;" in text
    assert "<U-Net>" not in text
    # Of a README only emphasis and code are taken over.
    assert "<em>Nets</em>, 2020, <code>code</code> and &lt;b&gt;more&lt;/b&gt;." in text


def test_synthetic_results_are_stamped(project):
    assert "Synthetic images" not in text_of(render(project))
    path = project / "results/alpha/ablation.csv"
    path.write_text(path.read_text().replace("20 images", "alpha phantoms (synthetic)"))
    assert text_of(render(project).partition("<body>")[2]).startswith(
        "Skip to the papers Synthetic images."
    )


def test_phantoms_are_known_by_their_title(phantom_root):
    assert manifests.find("tnbc", phantom_root).title.endswith(html.SYNTHETIC)


def test_every_verdict_and_severity_is_explained_and_has_a_sign(committed):
    assert list(html.SIGNS) == list(tables.VERDICTS)
    legend = text_of(committed.partition('<details class="legend">')[2].partition("</details>")[0])
    for name in (*tables.VERDICTS, *findings.SEVERITIES):
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
def results(tmp_path):
    """A copy of what was regenerated without any training."""
    shutil.copytree(RESULTS / "busi_resnext_unet", tmp_path / "busi_resnext_unet")
    return tmp_path


def test_the_command_writes_and_checks(results, capsys):
    html.main(["--results", str(results)])
    assert "written: " in capsys.readouterr().out
    html.main(["--results", str(results), "--check"])
    (results / "busi_resnext_unet/params.csv").unlink()
    with pytest.raises(SystemExit):
        html.main(["--results", str(results), "--check"])
    assert "run `make report` and commit" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        html.main(["--results", str(results / "nowhere")])
    assert "no such folder" in capsys.readouterr().err


def test_other_compression_of_pictures_is_no_change(project):
    text = render(project)
    changed = re.sub(
        r'src="data:image/webp;base64,.{20}', 'src="data:image/webp;base64,other', text
    )
    assert changed != text
    assert html.without_pictures(changed) == html.without_pictures(text)
    digest = re.search(r'data-sha256="(\w+)"', text).group(1)
    assert html.without_pictures(text.replace(digest, "0" * 64)) != html.without_pictures(text)


def test_a_damaged_result_leaves_the_old_page(results, capsys):
    files.write_text(results / html.NAME, "old")
    (results / "busi_resnext_unet/params.csv").write_text("broken")
    with pytest.raises(SystemExit):
        html.main(["--results", str(results)])
    assert "params.csv" in capsys.readouterr().err
    assert (results / html.NAME).read_text() == "old"


def test_no_tensorflow_is_loaded():
    code = "import sys; from common import page; sys.exit('tensorflow' in sys.modules or 'matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT).returncode == 0
