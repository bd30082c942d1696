"""What is packed for a function is its handler: no document, no sample, no byte code of somebody's machine."""

from tests.infra.templates import Templates


def test_a_function_ships_its_handler_and_nothing_else(aws: Templates) -> None:
    keys = {name: function.properties["Code"]["S3Key"].removesuffix(".zip") for name, function in aws.functions().items()}
    packed = {
        name: sorted(str(path.relative_to(aws.folder / f"asset.{key}")) for path in (aws.folder / f"asset.{key}").rglob("*")) for name, key in keys.items()
    }
    assert {name: files for name, files in packed.items() if files != ["handler.py"]} == {}
