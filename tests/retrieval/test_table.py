"""Tables on disk: whole, resumable, and never half-trusted."""

import numpy as np
import pytest

from pipeline.errors import UserError
from pipeline.retrieval.blocks import Description, read_blocks
from pipeline.retrieval.table import Table
from pipeline.retrieval.table_writer import TableWriter

DESCRIPTION = Description(rows=10, dimension=3, block_rows=4, made_from={"tower": "t", "texts": "abc"})
VECTORS = np.arange(30, dtype=np.float32).reshape(10, 3)


def write(folder, blocks=3):
    writer = TableWriter(folder, DESCRIPTION)
    for block in range(writer.finished, blocks):
        writer.append(VECTORS[DESCRIPTION.rows_of(block)], truncated=block)
    return writer


def flip_a_byte(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


def test_what_is_written_is_read(tmp_path):
    write(tmp_path / "table")
    table = Table.open(tmp_path / "table")
    np.testing.assert_array_equal(table.vectors, VECTORS)
    assert isinstance(table.vectors, np.memmap)
    assert not table.vectors.flags.writeable
    assert (table.key, table.texts_fingerprint, len(table), table.dimension) == (DESCRIPTION.key, "abc", 10, 3)
    assert table.truncated == 0 + 1 + 2


def test_key_names_everything_that_determines_vectors():
    keys = {
        DESCRIPTION.key,
        Description(10, 4, 4, DESCRIPTION.made_from).key,
        Description(10, 3, 4, {"tower": "other", "texts": "abc"}).key,
        Description(10, 3, 4, {"tower": "t", "texts": "other"}).key,
    }
    assert len(keys) == 4
    assert Description(10, 3, 5, DESCRIPTION.made_from).key == DESCRIPTION.key  # blocks change no vector


def test_writing_continues_after_the_finished_blocks(tmp_path):
    write(tmp_path / "table", blocks=2)
    writer = TableWriter(tmp_path / "table", DESCRIPTION)
    assert writer.finished == 2
    write(tmp_path / "table")
    np.testing.assert_array_equal(Table.open(tmp_path / "table").vectors, VECTORS)


def test_a_block_without_its_checksum_does_not_count(tmp_path):
    """A kill between the bytes and their checksum, or within the checksum's line."""
    write(tmp_path / "whole")
    for kept in (0, 1, 42, 43, 44, 85, 100):
        folder = tmp_path / f"kept{kept}"
        write(folder)
        blocks = folder / "blocks.txt"
        blocks.write_bytes(blocks.read_bytes()[:kept])
        (folder / "vectors.f32").write_bytes((folder / "vectors.f32").read_bytes() + b"half a block")
        assert TableWriter(folder, DESCRIPTION).finished == kept // 43
        write(folder)
        for name in ("vectors.f32", "blocks.txt", "table.json"):
            assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_an_unfinished_table_is_not_opened(tmp_path):
    write(tmp_path / "table", blocks=2)
    with pytest.raises(UserError, match=r"table is unfinished \(2 of 3 blocks\)"):
        Table.open(tmp_path / "table")


@pytest.mark.parametrize(("place", "block"), [(0, 0), (47, 0), (48, 1), (119, 2)])
def test_one_damaged_bit_is_found(tmp_path, place, block):
    write(tmp_path / "table")
    flip_a_byte(tmp_path / "table" / "vectors.f32", place)
    for opening in (Table.open, lambda folder: TableWriter(folder, DESCRIPTION)):
        with pytest.raises(UserError, match=f"{tmp_path}/table is damaged .block {block} of 3.*delete the folder"):
            opening(tmp_path / "table")


def test_other_damage_is_found(tmp_path):
    write(tmp_path / "short")
    (tmp_path / "short" / "vectors.f32").write_bytes(b"1234")
    write(tmp_path / "gone")
    (tmp_path / "gone" / "vectors.f32").unlink()
    write(tmp_path / "line")
    flip_a_byte(tmp_path / "line" / "blocks.txt", 42)
    write(tmp_path / "checksum")
    (tmp_path / "checksum" / "blocks.txt").write_bytes(b"0" * 32 + b" 000000000\n" * 3 + b"0" * 66)
    write(tmp_path / "description")
    (tmp_path / "description" / "table.json").write_text('{"rows": 3}')
    for name in ("short", "gone", "line", "checksum", "description"):
        with pytest.raises(UserError, match=f"{name} is damaged .*delete the folder"):
            Table.open(tmp_path / name)


def test_a_block_of_another_shape_is_a_mistake(tmp_path):
    with pytest.raises(ValueError, match=r"shape \(3, 3\), expected \(4, 3\)"):
        TableWriter(tmp_path / "table", DESCRIPTION).append(VECTORS[:3])


def test_tables_in_memory():
    table = Table.from_array(VECTORS, "abc")
    assert table.key == Table.from_array(VECTORS.copy()).key != Table.from_array(VECTORS + 1).key
    with pytest.raises(UserError, match="Vector 1 holds a number that is not finite"):
        Table.from_array(np.array([[0.0], [np.inf]]))
    with pytest.raises(UserError, match="at least one"):
        Table.from_array(np.empty((0, 3)))


def test_blocks_are_read_as_written(tmp_path):
    write(tmp_path / "table")
    assert [block.truncated for block in read_blocks(tmp_path / "table")] == [0, 1, 2]
