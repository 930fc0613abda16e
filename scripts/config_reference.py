"""Write the page about every key of the configuration from the schema.

Example:
    python scripts/config_reference.py --output docs/config.md
"""

from __future__ import annotations

from pathlib import Path

from softdpu.build.reference import make_reference
from softdpu.output.cli import new_parser, program
from softdpu.output.files import write_text


@program
def main() -> None:
    """Parse the command line and write."""
    parser = new_parser(__doc__)
    schema = Path(__file__).parents[1] / "schemas/config.schema.yaml"
    parser.add_argument("--schema", type=Path, default=schema, help="the schema (default: the project's)")
    parser.add_argument("--output", type=Path, required=True, help="the Markdown file")
    args = parser.parse_args()
    write_text(args.output, make_reference(args.schema))


if __name__ == "__main__":
    raise SystemExit(main())
