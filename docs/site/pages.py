"""Makes a site of pages that are also read as plain files: links that lead out of docs/, and the list of decisions."""

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
LINK = re.compile(r"\]\((?P<target>(?:\.\./)+[^)#\s]+)(?P<anchor>#[^)\s]*)?\)")


def on_config(config: Any) -> None:
    """Give headings the anchors that they have where the files are read, and fill in the list of decisions."""
    config["mdx_configs"]["toc"]["slugify"] = _anchor
    decisions = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    for entry in config["nav"]:
        if "Decisions" in entry:
            entry["Decisions"] = [f"decisions/{name}" for name in decisions]


def _anchor(heading: str, separator: str) -> str:
    return re.sub(r"[^a-z0-9 _-]", "", heading.lower()).replace(" ", separator)


def on_files(files: Any, config: Any) -> None:
    """Publish the files outside of docs/ that pages link to, under `source/`."""
    for page in list(files.documentation_pages()):
        for link in LINK.finditer(page.content_string):
            file = _outside(page.src_uri, link["target"])
            if file is not None and file.is_file() and file.suffix != ".md":
                uri = _published(file)
                if files.get_file_from_path(uri) is None:
                    files.append(File.generated(config, uri, abs_src_path=str(file)))


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Return the page with its links out of docs/ led to what is published; a directory is only named."""

    def led(link: re.Match[str]) -> str:
        file = _outside(page.file.src_uri, link["target"])
        up = "../" * page.file.src_uri.count("/")
        if file is None:
            return link[0]
        if file == ROOT / "README.md":
            return f"]({up}quick-start.md)"
        if file.is_file():
            return f"]({up}{_published(file)})"
        return f"]({up}index.md)"

    return LINK.sub(led, markdown)


def _outside(page: str, target: str) -> Path | None:
    """Return what a link leads to, if that is outside of docs/."""
    file = (ROOT / "docs" / page).parent.joinpath(target).resolve()
    return None if file.is_relative_to(ROOT / "docs") else file


def _published(file: Path) -> str:
    return f"source/{file.relative_to(ROOT)}"
