"""One door for a table: a paper declares rows and scores, and the driver does the rest.

It keeps synthetic and smoke results apart, trains or resumes what is missing (here or on a
cluster), scores the saved predictions, writes the table with its provenance, and shows it with
its verdicts.
"""

from __future__ import annotations

import contextlib
import inspect
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple

import pandas

from common import cli, files
from common.cli import Request
from common.datasets.manifests import DataSet
from common.errors import exits_cleanly
from common.published import schema
from common.published.schema import PublishedTable
from common.results import dask_backend, plan, provenance, tables, terminal
from common.results.bootstrap import bootstrap_se
from common.results.intervals import Spread
from common.training import runs, settings
from common.training.runs import Run
from common.training.trainer import Trainer

# The runs behind commands, by folder, while `collecting`.
_collected: Optional[Dict[Path, dask_backend.Job]] = None

SYNTHETIC = "synthetic images instead of the paper's data"


class Collected(Exception):
    """The runs of a command are noted, and none was trained."""


@contextlib.contextmanager
def collecting() -> Iterator[Dict[Path, dask_backend.Job]]:
    """Note the runs behind commands instead of training them; each then raises `Collected`."""
    global _collected
    _collected = {}
    try:
        yield _collected
    finally:
        _collected = None


@dataclass(frozen=True)
class Row:
    """A row of a table: one network, or what is made of several.

    Attributes:
        id: as in the published YAML, where the paper has the row.
        settings: what the row sets in the Config; a reading or a shorthand may change it.
        fixed: likewise, but nothing changes it.
        members: rows whose networks are combined into this one.
        protocols: under which the row is trained where no protocol is asked for.
    """

    id: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    members: Tuple[Row, ...] = ()
    protocols: Tuple[str, ...] = ("published", "corrected")

    @property
    def networks(self) -> Tuple[Row, ...]:
        """The rows that are trained for this one."""
        return self.members or (self,)


@dataclass(frozen=True)
class Trained:
    """A row for one protocol and seed, trained.

    Attributes:
        row: what was asked for.
        config: of the (last) network behind it.
        default: that Config under the default reading.
        paper: that Config as the paper is taken to have it.
        runs: complete run folders, one per network.
    """

    row: Row
    config: Any
    default: Any
    paper: Any
    runs: Tuple[Run, ...]


@dataclass(frozen=True)
class Count:
    """A number that is counted without training."""

    row: str
    metric: str
    value: float
    differences: Tuple[str, ...] = ()
    protocol: str = "published"


@dataclass(frozen=True)
class Page:
    """What a figure shows: the trained rows of one protocol and seed."""

    rows: Tuple[Trained, ...]
    data_set: DataSet
    path: Path
    title: str


@dataclass(frozen=True)
class Target:
    """A table, figure or other command of a paper.

    Attributes:
        rows: of a table of trained networks.
        factor: from `aggregate` to the unit of that table.
        recount: the scores of a table that no training is behind.
    """

    name: str
    run: Callable[[Request], None]
    needs_data: bool = True
    rows: Optional[Callable[[Request], Sequence[Row]]] = None
    factor: float = 1.0
    recount: Optional[Callable[[Request], List[Tuple[tables.Score, tables.Conditions]]]] = None


def _stop_before_work(request: Request) -> None:
    """End a command that trains nothing where only its runs are asked for."""
    if _collected is not None:
        raise Collected
    plan.stop_if_wanted(request)


def by_image(table: pandas.DataFrame, config: Any) -> Sequence[Any]:
    """The unit of the bootstrap, per line of the scores: each image for itself."""
    return table["id"]


def never(config: Any, data_set: DataSet) -> bool:
    """The test images are drawn at random."""
    return False


def no_more_scores(runs: Sequence[Run], config: Any, data_set: DataSet) -> Dict[str, float]:
    """All scores follow from the lines per image."""
    return {}


def nothing(config: Any, data_set: DataSet) -> Sequence[str]:
    """No differences besides those of given settings."""
    return ()


Asked = Sequence[Tuple[Sequence[Row], Request]]  # rows, each under its own request


@dataclass(frozen=True)
class Paper:
    """A paper's results: how its networks are trained and scored, and its tables and figures.

    Attributes:
        trainer: of its train.py.
        per_image: scores the predictions of a row's runs; one line per test image, with `id`.
        aggregate: summarises these lines over the test images, in the units of the paper.
        differences: what else keeps a run from being held against the paper, in its terms.
        unit: what the protocol splits by, per line of the scores (image, case, patient).
        test_set_is_given: whether the data come with their test part.
        whole: scores of all test images together that do not follow from lines per image.
        scoring: dataclass of what the paper leaves open in the evaluation, at its defaults; then
            `per_image` and `aggregate` get one as their last argument.
        aggregation: those of its fields that only `aggregate` looks at.
        packing: which predictions are kept with the results.
    """

    trainer: Trainer
    per_image: Callable[..., pandas.DataFrame]
    aggregate: Callable[..., Dict[str, float]]
    differences: Callable[[Any, DataSet], Sequence[str]] = nothing
    unit: Callable[[pandas.DataFrame, Any], Sequence[Any]] = by_image
    test_set_is_given: Callable[[Any, DataSet], bool] = never
    whole: Callable[[Sequence[Run], Any, DataSet], Dict[str, float]] = no_more_scores
    scoring: Any = None
    aggregation: Tuple[str, ...] = ()
    packing: provenance.Packing = provenance.Packing()
    targets: Dict[str, Target] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The paper's folder."""
        return self.trainer.paper

    def table(self, rows: Callable[[Request], Sequence[Row]]) -> Callable:
        """Declare a table, named after the function, whose docstring is its help.

        The function gives the rows. Where published/<name>.yaml exists, the table is judged.
        """

        return self._table(rows, 1)

    def percent_table(self, rows: Callable[[Request], Sequence[Row]]) -> Callable:
        """Declare a table whose paper prints in percent what `aggregate` gives as a fraction."""
        return self._table(rows, 100)

    def _table(self, rows: Callable[[Request], Sequence[Row]], factor: float) -> Callable:
        def run(request: Request) -> None:
            data_set, settled = self._settle(request, rows)
            trained = self.train(rows(settled), settled, data_set)
            scores = self._scored(trained, data_set, settled, factor)
            self._publish(rows.__name__, scores, settled)

        return self._declare(rows, run, rows=rows, factor=factor)

    def counts(self, needs_data: bool = True) -> Callable:
        """Declare a table of numbers that no training is behind.

        The decorated function gets the request and the data set (None without data) and gives
        each `Count`.
        """

        def declare(count: Callable[[Request, Optional[DataSet]], Iterable[Count]]) -> Callable:
            def recount(request: Request) -> List[Tuple[tables.Score, tables.Conditions]]:
                data_set = self._settle(request)[0] if needs_data else None
                return [_counted(one, data_set) for one in count(request, data_set)]

            def run(request: Request) -> None:
                _stop_before_work(request)
                _, settled = self._settle(request) if needs_data else (None, request)
                self._publish(count.__name__, recount(settled), settled)

            return self._declare(count, run, needs_data=needs_data, recount=recount)

        return declare

    def figure(self, rows: Callable[[Request], Sequence[Row]]) -> Callable:
        """Declare a figure of the networks of `rows`; the decorated function draws a `Page`."""

        def declare(draw: Callable[[Page], None]) -> Callable:
            def run(request: Request) -> None:
                data_set, request = self._settle(request, rows)
                for page in self._pages(draw.__name__, rows(request), request, data_set):
                    page.path.parent.mkdir(parents=True, exist_ok=True)
                    draw(page)
                    print(f"written: {page.path}")

            return self._declare(draw, run)

        return declare

    def breakdown(self, rows: Callable[[Request], Sequence[Row]]) -> Callable:
        """Declare a table of parts of the test images of the networks of `rows`.

        The decorated function gets a trained row and the data set, and gives rows with scores.
        """

        def declare(parts: Callable[[Trained, DataSet], Iterable[Tuple[str, Dict]]]) -> Callable:
            def run(request: Request) -> None:
                data_set, request = self._settle(request, rows)
                scores = []
                for trained in self.train(rows(request), request, data_set):
                    conditions = self.conditions(trained, data_set)
                    for row, values in parts(trained, data_set):
                        for metric, value in values.items():
                            score = tables.Score(row, metric, value, trained.config.seed)
                            scores.append((score, conditions))
                if scores:
                    self._publish(parts.__name__, scores, request)
                else:
                    print(f"{parts.__name__}: {data_set.title} do not tell the parts apart")

            return self._declare(parts, run)

        return declare

    def readings(self, table: str) -> Callable:
        """Declare the readings of a published table; the decorated function gives its rows."""

        def declare(rows: Callable[[Request], Sequence[Row]]) -> Callable:
            def run(request: Request) -> None:
                from common.results import sweeps  # not at the top: it imports this module

                data_set, request = self._settle(request, rows)
                sweeps.show_readings(self, table, rows(request), request, data_set)

            return self._declare(rows, run)

        return declare

    def leakage(self, rows: Callable[[Request], Sequence[Row]]) -> Callable:
        """Declare the price of leakage of these rows, whose Config has a field `leakage`."""

        def run(request: Request) -> None:
            from common.results import leakage_price  # not at the top: it imports this module

            data_set, settled = self._settle(request, rows)
            leakage_price.show(self, rows(settled), settled, data_set)

        return self._declare(rows, run)

    def command(self, function: Callable[[Request, DataSet], None]) -> Callable:
        """Declare any other command on the data."""

        def run(request: Request) -> None:
            _stop_before_work(request)
            data_set, request = self._settle(request)
            function(request, data_set)

        return self._declare(function, run)

    def command_line(self) -> None:
        """Parse the command line of an eval.py and call the target."""
        _command(self)

    def configs(self, row: Row, request: Request, protocol: str, seed: int) -> Tuple[Any, Any, Any]:
        """Give the Config of a row's network as asked for, by default, and as in the paper."""
        profiles = self.trainer.profiles
        identity = {"protocol": protocol, "seed": seed}
        changes = {**identity, **row.settings, **row.fixed}
        default = replace(profiles[request.profile], **changes)
        paper = replace(profiles["paper"], **changes)
        training, _ = self.split_reading(request.reading)
        wanted = settings.parse_reading(training, type(default))
        wanted.update(request.shorthands(default))
        wanted.update(row.fixed)
        return replace(default, **wanted), default, paper

    def split_reading(self, reading: str) -> Tuple[str, str]:
        """Divide a reading into that of the training and that of the evaluation."""
        names = [] if self.scoring is None else list(settings.describe(type(self.scoring)))
        pairs = list(filter(None, reading.split(",")))
        evaluation = [pair for pair in pairs if pair.partition("=")[0] in names]
        training = [pair for pair in pairs if pair not in evaluation]
        return ",".join(training), ",".join(evaluation)

    def scoring_for(self, reading: str) -> Any:
        """Give the scoring that a reading asks for; None where the paper has none."""
        if self.scoring is None:
            return None
        _, evaluation = self.split_reading(reading)
        wanted = settings.parse_reading(evaluation, type(self.scoring))
        scoring = replace(self.scoring, **wanted)
        settings.check(scoring)
        return scoring

    def train(
        self, rows: Sequence[Row], request: Request, data_set: DataSet, more: Asked = ()
    ) -> List[Trained]:
        """Train what is missing and give the rows of every protocol and seed, complete.

        The runs of `more` are wanted next: a plan counts them, and a cluster trains them alongside.
        """
        wanted = self._wanted([(rows, request)], data_set)
        together = self._wanted([(rows, request), *more], data_set)
        folder = request.runs_root / self.name
        planned_runs = plan.make(together, folder, request)
        hours = planned_runs.to_do and request.profile != "smoke" and _collected is None
        if request.plan or hours:
            plan.show(planned_runs, folder)
        if request.plan:
            raise SystemExit(0)
        self._send(together, request)
        finished = self._complete(wanted, request, data_set)
        trained = []
        for row, networks in self._planned(rows, request):
            names = [self.trainer.run_id(config, data_set) for config, _, _ in networks]
            behind = tuple(finished[name] for name in names)
            trained.append(Trained(row, *networks[-1], behind))
        return trained

    def is_trained(self, rows: Sequence[Row], request: Request, data_set: DataSet) -> bool:
        """Whether all runs behind the rows are complete."""
        folder = request.runs_root / self.name
        wanted = self._wanted([(rows, request)], data_set)
        return all(runs.is_complete(folder / name) for name in wanted)

    def _wanted(self, asked: Asked, data_set: DataSet) -> Dict[str, Any]:
        """Give the Configs of the runs behind rows by the names of their folders, each once."""
        wanted: Dict[str, Any] = {}
        for rows, request in asked:
            for _, networks in self._planned(rows, request):
                for config, _, _ in networks:
                    wanted.setdefault(self.trainer.run_id(config, data_set), config)
        return wanted

    def _planned(
        self, rows: Sequence[Row], request: Request
    ) -> Iterator[Tuple[Row, List[Tuple[Any, Any, Any]]]]:
        """Give every row for each protocol and seed, with what `configs` gives of its networks."""
        for protocol in request.protocols:
            for seed in request.all_seeds:
                for row in rows:
                    if request.protocol is None and protocol not in row.protocols:
                        continue
                    networks = [self.configs(one, request, protocol, seed) for one in row.networks]
                    yield row, networks

    def _send(self, wanted: Mapping[str, Any], request: Request) -> None:
        """Note runs while collecting, or complete them on the cluster if there is one."""
        root = request.runs_root / self.name
        jobs = [
            dask_backend.Job(name, self._words(config, request), root / name)
            for name, config in wanted.items()
        ]
        if _collected is not None:
            _collected.update({job.folder.resolve(): job for job in jobs})
            raise Collected
        missing = [job for job in jobs if not runs.is_complete(job.folder)]
        if request.cluster and missing:
            dask_backend.finish(missing, request.cluster)

    def _complete(
        self, wanted: Mapping[str, Any], request: Request, data_set: DataSet
    ) -> Dict[str, Run]:
        finished = {}
        for number, (name, config) in enumerate(wanted.items(), start=1):
            if not request.cluster:
                print(f"[{number}/{len(wanted)}] {name}", flush=True)
            finished[name] = self.trainer.complete(config, data_set, request.runs_root)
        return finished

    def _words(self, config: Any, request: Request) -> List[str]:
        profile = self.trainer.profiles[config.profile]
        words = ["-m", self.trainer.module, *cli.training_words(config, profile)]
        words += ["--runs-root", str(request.runs_root.resolve())]
        if request.data_root is not None:
            words += ["--data-root", str(Path(request.data_root).resolve())]
        return words

    def score(self, trained: Trained, data_set: DataSet, scoring: Any = None) -> pandas.DataFrame:
        """Score the saved predictions of a row, one line per image.

        Raises:
            InputError: predictions are missing, damaged, doubled or of other images.
        """
        for run in trained.runs:
            if not run.of_earlier_version:  # those have neither checksums nor all predictions
                run.check_predictions(self.trainer.predicted(run.split))
        scoring = scoring or self.scoring
        more = () if scoring is None else (scoring,)
        return self.per_image(trained.runs, trained.config, data_set, *more)

    def summarise(
        self, table: pandas.DataFrame, config: Any, scoring: Any = None
    ) -> Dict[str, float]:
        """Aggregate the scores per image."""
        scoring = scoring or self.scoring
        more = () if scoring is None else (scoring,)
        return self.aggregate(table, config, *more)

    def _scored(
        self, rows: Sequence[Trained], data_set: DataSet, request: Request, factor: float
    ) -> List[Tuple[tables.Score, tables.Conditions]]:
        scores = []
        scoring = self.scoring_for(request.reading)
        for trained in rows:
            table = self.score(trained, data_set, scoring)
            conditions = self.conditions(trained, data_set, scoring)
            whole = self.whole(trained.runs, trained.config, data_set)
            if scoring == self.scoring:  # scores per image are kept for the default alone
                name = self._keep(trained, table, whole, request)
                run = provenance.pattern(name, trained.config.seed)
                conditions = replace(conditions, run=run)
            scores += self.scores(trained, table, whole, data_set, conditions, factor, scoring)
        return scores

    def scores(
        self,
        trained: Trained,
        table: pandas.DataFrame,
        whole: Mapping[str, float],
        data_set: DataSet,
        conditions: tables.Conditions,
        factor: float,
        scoring: Any = None,
    ) -> List[Tuple[tables.Score, tables.Conditions]]:
        """Aggregate the scores per image of a row, with their spread over images."""
        values = {**self.summarise(table, trained.config, scoring), **whole}
        spread = self._spread(table, trained, data_set, scoring)
        scores = []
        for metric, value in values.items():
            about = spread.get(metric)
            score = tables.Score(
                trained.row.id,
                metric,
                value * factor,
                trained.config.seed,
                image_se=about.se * factor if about else None,
                images=about.units if about else None,
            )
            scores.append((score, conditions))
        return scores

    def _spread(
        self, table: pandas.DataFrame, trained: Trained, data_set: DataSet, scoring: Any
    ) -> Dict[str, Spread]:
        """Standard error over test images of each score; empty for a given test set."""
        if self.test_set_is_given(trained.config, data_set):
            return {}
        if "part" in table:
            table = table[table["part"] == "test"].reset_index(drop=True)
        groups = list(self.unit(table, trained.config))
        config = trained.config
        return bootstrap_se(table, lambda lines: self.summarise(lines, config, scoring), groups)

    def conditions(
        self, trained: Trained, data_set: DataSet, scoring: Any = None
    ) -> tables.Conditions:
        """Say how the scores of a row were made, and what keeps them from being held against the
        paper.
        """
        config = trained.config
        different = [SYNTHETIC] if data_set.synthetic else []
        different += self.differences(config, data_set)
        different += settings.differences(config, trained.paper)
        if config.profile != "paper":
            different.append(f"a shortened training (profile {config.profile})")
        return tables.Conditions(
            protocol=config.protocol,
            profile=config.profile,
            encoder_weights=encoder_weights(trained.runs),
            precision=config.precision,
            data=data_set.title,
            fingerprint=data_set.fingerprint,
            reading=self.reading_of(trained, scoring),
            differences=tuple(different),
        )

    def reading_of(self, trained: Trained, scoring: Any = None) -> str:
        """Name the reading of a row: of its training and of its evaluation."""
        parts = settings.reading(trained.config, trained.default).split(",")
        if scoring is not None:
            parts += settings.reading(scoring, self.scoring).split(",")
        return ",".join(sorted(filter(None, parts)))

    def _keep(
        self,
        trained: Trained,
        table: pandas.DataFrame,
        whole: Mapping[str, float],
        request: Request,
    ) -> str:
        """Keep beside the results what they follow from; give the name under which it is kept."""
        folder = request.results_root / self.name
        name = provenance.name_of(trained.runs, trained.row.id, bool(trained.row.members))
        config = trained.config
        provenance.keep(folder, name, trained.runs, table, whole, self.packing, config)
        return name

    def _publish(
        self,
        name: str,
        scores: Iterable[Tuple[tables.Score, tables.Conditions]],
        request: Request,
    ) -> None:
        reference, judged = self.reference(name)
        folder = request.results_root / self.name
        table = tables.build(reference, scores)
        path = folder / f"{name}.csv"
        with files.one_at_a_time(folder):
            kept = tables.merge(tables.read(path), table) if path.exists() else table
            if tables.write(kept, path):
                files.write_json(folder / "provenance" / f"{name}.json", runs.environment())
            if judged:
                tables.write(tables.compare(reference, kept), folder / f"{name}_vs_published.csv")
            provenance.write_sums(folder)
        terminal.show(reference, table, judged)
        print(f"written: {path}")

    def reference(self, name: str) -> Tuple[PublishedTable, bool]:
        """The published table of this name; for one of ours, any of the paper's lends labels."""
        published = self.trainer.folder / "published"
        path = published / f"{name}.yaml"
        if path.exists():
            return schema.load(path), True
        first = schema.table_files(published)[0]
        title = inspect.cleandoc(self.targets[name].run.__doc__ or name).splitlines()[0]
        return replace(schema.load(first), id=name, title=title), False

    def _pages(
        self, name: str, rows: Sequence[Row], request: Request, data_set: DataSet
    ) -> Iterator[Page]:
        pages: Dict[Tuple[str, int], List[Trained]] = {}
        for trained in self.train(rows, request, data_set):
            key = (trained.config.protocol, trained.config.seed)
            pages.setdefault(key, []).append(trained)
        for (protocol, seed), of_page in pages.items():
            file = f"{name}-{protocol}-{request.profile}-seed{seed}.png"
            path = request.results_root / self.name / file
            title = figure_title(of_page, data_set)
            yield Page(tuple(of_page), data_set, path, title)

    def _settle(
        self, request: Request, rows: Optional[Callable[[Request], Sequence[Row]]] = None
    ) -> Tuple[DataSet, Request]:
        """Check the settings of the networks behind `rows`, then find the data; keep synthetic and
        smoke results apart, in demo/ of the results folder.
        """
        if rows is not None:  # settings first: the data may have to be downloaded
            for _, networks in self._planned(rows(request), request):
                for config, _, _ in networks:
                    self.trainer.checks(config)
            self.scoring_for(request.reading)
        if request.plan:
            data_set = plan.data_set(self.trainer.data_sets, request.data_root)
        else:
            data_set = self.trainer.find_data(request.data_root)
        if not data_set.synthetic and request.profile != "smoke":
            return data_set, request
        demo = request.results_root / "demo"
        return data_set, replace(request, results_root=demo, runs_root=demo / "runs")

    def _declare(self, function: Callable, run: Callable[[Request], None], **more: Any) -> Callable:
        run.__doc__ = function.__doc__
        self.targets[function.__name__] = Target(function.__name__, run, **more)
        return function


def encoder_weights(behind: Iterable[Run]) -> str:
    """Name the encoder weights that runs started from, each once, as they record them."""
    return " + ".join(dict.fromkeys(run.config["encoder_weights"] for run in behind))


def figure_title(rows: Sequence[Trained], data_set: DataSet) -> str:
    """Name what a figure is made from: data, protocol, profile, encoder weights and seed."""
    config = rows[-1].config
    behind = [run for row in rows for run in row.runs]
    return (
        f"{data_set.title} · protocol {config.protocol}, profile {config.profile}, "
        f"encoder weights {encoder_weights(behind)}, seed {config.seed}"
    )


def _counted(count: Count, data_set: Optional[DataSet]) -> Tuple[tables.Score, tables.Conditions]:
    different = list(count.differences)
    title, fingerprint = "none needed", "none"
    if data_set is not None:
        title, fingerprint = data_set.title, data_set.fingerprint
        if data_set.synthetic:
            different.insert(0, SYNTHETIC)
    conditions = tables.Conditions(
        protocol=count.protocol,
        profile="paper",
        encoder_weights="any",
        precision="any",
        data=title,
        fingerprint=fingerprint,
        differences=tuple(different),
    )
    return tables.Score(count.row, count.metric, float(count.value), 0), conditions


@exits_cleanly
def _command(paper: Paper) -> None:
    targets = {name: target.run for name, target in paper.targets.items()}
    cli.run_targets(targets, f".venv/bin/python -m reproductions.{paper.name}.eval")
