"""Every path, command, pipeline and setting that the documents name exists."""

import re
import tomllib
from pathlib import Path, PurePosixPath

import pytest
import yaml
from kedro.framework.cli.cli import KedroCLI
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project

from ukb_brain.cli import pipeline_names
from ukb_brain.tables import reported

PROJECT = Path(__file__).parents[1]
DOCUMENTS = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *PROJECT.glob("docs/*.md")]
BASE = PROJECT / "conf" / "base"

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
TOKEN = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\((?!https?://)([^)#\s]+)\)")
FILE = re.compile(
    r"\.(py|yml|yaml|md|toml|lock|cff|ipynb|sh|json|parquet|csv|dat|html|png|zarr|safetensors)$"
)
DOTTED = re.compile(r"^[a-z_]\w*(\.[a-z_]\w*)+$")
OPTION = re.compile(r"--(pipelines?|env|params)[ =](\S+)")
# Names that are not ours: members of every pipeline's folder, and files that UK Biobank names.
FOREIGN = {"__init__.py", "nodes.py", "pipeline.py", "w*.csv"}


def merged(pattern):
    found = {}
    for path in sorted(BASE.glob(pattern)):
        found |= yaml.safe_load(path.read_text()) or {}
    return found


PARAMETERS = merged("parameters*.yml")
RUNTIME = {
    name
    for path in BASE.glob("*.yml")
    for name in re.findall(r"runtime_params:([\w.]+)", path.read_text())
}
CATALOG = {name: e for name, e in merged("catalog*.yml").items() if not name.startswith("_")}
TABLES = [name for name, table in vars(reported).items() if hasattr(table, "validate")]
DATA = {
    PurePosixPath(
        (entry.get("filepath") or entry["path"])
        .replace("${_root}", "data")
        .replace("${_raw}", "data/01_raw")
        .replace("{table}", table)
    )
    for entry in CATALOG.values()
    if "filepath" in entry or "path" in entry
    for table in TABLES
} - {PurePosixPath("data")}  # the data root itself says nothing of what lies in it
MAKE_TARGETS = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))


def kedro_commands():
    bootstrap_project(find_kedro_project(PROJECT))
    return {*KedroCLI(project_path=PROJECT).list_commands(None), "viz"}


KEDRO_COMMANDS = kedro_commands()


def has_parameter(name):
    """Is it a key of the parameters? Of what a preset fills in, only the first part is known."""
    found = PARAMETERS
    for key in name.split("."):
        if isinstance(found, str) and "${" in found:
            return True
        if not isinstance(found, dict) or key not in found:
            return False
        found = found[key]
    return True


def has_dataset(name):
    patterns = [re.sub(r"\\{\w+\\}", r"\\w+", re.escape(entry)) for entry in CATALOG]
    return any(re.fullmatch(pattern, name) for pattern in patterns)


def has_data_path(path):
    """Is it an entry of the catalog, a folder of one, or a file in a folder of one?"""
    wanted = PurePosixPath(re.sub(r"^(<data_root>|data/(ukb|abide|test))/", "data/", path))
    if wanted.name in FOREIGN or "<" in path:
        return any(folder in DATA for folder in wanted.parents) or wanted.parent in {
            entry.parent for entry in DATA
        }
    return any(wanted == entry or wanted in entry.parents for entry in DATA)


def has_file(name):
    name = name.rstrip("/")
    if name in FOREIGN or (PROJECT / name).exists():
        return True
    package = PROJECT / "src" / "ukb_brain"
    return (package / name).exists() or name in {entry.name for entry in DATA}


def wrong_command(line):
    words = line.split()
    if words[0] == "make":
        named = [word for word in words[1:] if "=" not in word]
        return [f"make {word}" for word in named if word not in MAKE_TARGETS]
    wrong = []
    if len(words) > 1 and words[1] not in KEDRO_COMMANDS:
        wrong.append(f"kedro {words[1]}")
    for option, value in OPTION.findall(line):
        if "<" in value:
            continue
        for part in value.split(","):
            name = part.split("=")[0].split(":")[0]
            known = {
                "env": (PROJECT / "conf" / name).is_dir(),
                "params": name in RUNTIME or has_parameter(name),
            }.get(option, name in (*pipeline_names(), "__default__"))
            if not known:
                wrong.append(f"--{option} {name}")
    return wrong


def wrong_token(token):
    if token.split()[0] in ("make", "kedro"):
        return wrong_command(token)
    if token.startswith("--"):
        return wrong_command(f"kedro run {token}")
    if " " in token or token.startswith((".venv", "build/")):
        return []
    if token.startswith(("data/", "<data_root>/")):
        return [] if has_data_path(token) else [token]
    if FILE.search(token) or "/" in token:
        return [] if has_file(token) else [token]
    if DOTTED.match(token):
        known = has_parameter(token) or has_dataset(token) or token.startswith("ukb_brain.")
        return [] if known else [token]
    return []


def wrong_block(language, body):
    if language == "yaml":
        given = yaml.safe_load(body)
        pairs = [f"{a}.{b}" for a, inner in given.items() for b in (inner or {})]
        return [pair for pair in pairs if not has_parameter(pair)]
    lines = [line.split("#")[0].strip() for line in body.splitlines()]
    wrong = [w for line in lines if line.startswith(("make", "kedro")) for w in wrong_command(line)]
    paths = [line.split()[0] for line in lines if line.startswith("<data_root>/")]
    return wrong + [path for path in paths if not has_data_path(path)]


def wrong_in(text, folder=PROJECT):
    """Everything a document in a folder names that does not exist."""
    wrong = [w for language, body in BLOCK.findall(text) for w in wrong_block(language, body)]
    prose = BLOCK.sub("", text)
    wrong += [w for token in TOKEN.findall(prose) for w in wrong_token(token)]
    return wrong + [link for link in LINK.findall(prose) if not (folder / link).exists()]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_what_a_document_names_exists(document):
    assert wrong_in(document.read_text(), document.parent) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("`make everything`", "make everything"),
        ("```bash\nmake tset   # all\n```", "make tset"),
        ("`kedro fly`", "kedro fly"),
        ("`kedro run --pipelines dreams`", "--pipelines dreams"),
        ("`kedro run --pipelines reporting,dreams`", "--pipelines dreams"),
        ("`kedro run --env moon`", "--env moon"),
        ("`kedro run --params presett=demo`", "--params presett"),
        ("`--params reporting.drawz=3`", "--params reporting.drawz"),
        ("```bash\nkedro run --params seed=1,sed=2\n```", "--params sed"),
        ("`src/ukb_brain/gird.py`", "src/ukb_brain/gird.py"),
        ("`data/08_reporting/dashbord.html`", "data/08_reporting/dashbord.html"),
        ("`data/09_nothing`", "data/09_nothing"),
        ("```\n<data_root>/01_row/ukb_table.csv  text\n```", "<data_root>/01_row/ukb_table.csv"),
        ("`summery.md`", "summery.md"),
        ("`splitting.trian`", "splitting.trian"),
        ("`primary.spilts`", "primary.spilts"),
        ("```yaml\ngrid:\n  tagets: {}\n```", "grid.tagets"),
        ("![x](docs/images/nothing.png)", "docs/images/nothing.png"),
    ],
)
def test_what_does_not_exist_is_found(text, wrong):
    assert wrong_in(text) == [wrong]


@pytest.mark.parametrize(
    "text",
    [
        "`make bench ONLY=truth`",
        "`kedro run --env ukb --params preset=study64`",
        "`kedro run --pipelines <name>`",
        "`reporting.mean_images` and `splitting.train`",
        "`data/03_primary` and `data/08_reporting/performance.parquet`",
        "`some words` and `source` and `21003-2.0`",
    ],
)
def test_what_exists_is_left_alone(text):
    assert wrong_in(text) == []


def lists():
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    named = [requirement for some in (project["dependencies"], *extras) for requirement in some]
    return {re.match(r"[\w-]+", requirement)[0] for requirement in named}


def test_every_dependency_has_its_reason():
    text = (PROJECT / "docs" / "architecture.md").read_text()
    reasons = set(re.findall(r"^- `([\w-]+)` \S", text.split("## Dependencies")[1], re.MULTILINE))
    assert reasons == lists()


def test_every_package_is_in_the_house():
    text = (PROJECT / "docs" / "architecture.md").read_text()
    packages = [p.parent.name for p in (PROJECT / "src" / "ukb_brain").glob("*/__init__.py")]
    assert [name for name in packages if f"`src/ukb_brain/{name}`" not in text] == []


def test_every_pipeline_is_in_the_flow():
    text = (PROJECT / "docs" / "architecture.md").read_text()
    assert [name for name in pipeline_names() if f"`{name}`" not in text] == []


def test_the_readme_is_short():
    assert len((PROJECT / "README.md").read_text().splitlines()) < 150


def test_the_lock_holds_every_dependency():
    lock = (PROJECT / "requirements.lock").read_text().lower().replace("_", "-")
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)$", lock, re.MULTILINE))
    assert lists() - set(locked) == set()
    assert "+" not in locked["torch"]
