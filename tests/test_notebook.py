"""The quickstart notebook runs from its first cell to its last, and shows tables."""

from pathlib import Path

import nbclient
import nbformat
import pytest
from helpers import REPOSITORY


@pytest.mark.slow
def test_the_quickstart_runs(tmp_path: Path) -> None:
    notebook = nbformat.read(  # type: ignore[no-untyped-call]
        REPOSITORY / "examples" / "quickstart.ipynb", as_version=4
    )
    (tmp_path / "examples").symlink_to(REPOSITORY / "examples")
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    shown = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    pages = [output["data"]["text/html"] for output in shown if "text/html" in output.get("data", {})]
    assert len(pages) >= 4
    assert not any("<script" in page for page in pages)
    assert not [output for output in shown if output.output_type == "stream" and output.name == "stdout"]
