"""The .ts files of the UEA and UCR archives."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from recur.data.series import Split, read_archive, read_series
from recur.errors import DataError

HEAD = "# made up\n@problemName Made\n@timeStamps false\n@univariate {uni}\n@classLabel true no yes\n@data\n"


def archive(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "a.ts"
    path.write_text(text)
    return path


def test_cases_of_unequal_length_with_missing_values(tmp_path: Path) -> None:
    panel = read_archive(archive(tmp_path, HEAD.format(uni="true") + "1,2.5,?:yes\n-1e1,NaN:no\n"))
    assert panel.lengths.tolist() == [3, 2]
    np.testing.assert_array_equal(panel.values[:, 0], np.float32([1, 2.5, np.nan, -10, np.nan]))
    assert panel.labels is not None
    assert panel.labels.tolist() == [1, 0]
    assert panel.schema.classes == ("no", "yes")
    assert panel.times.tolist() == [0, 1, 2, 0, 1]


def test_channels_stand_beside_each_other(tmp_path: Path) -> None:
    text = HEAD.format(uni="false") + "1,2:3,4:yes\n5:6:no\n"
    panel = read_archive(archive(tmp_path, text))
    assert panel.values.tolist() == [[1, 3], [2, 4], [5, 6]]
    assert panel.schema.past_only == ("channel_1", "channel_2")


def test_target_values_are_numbers(tmp_path: Path) -> None:
    panel = read_archive(archive(tmp_path, "@univariate true\n@targetLabel true\n@data\n1,2:0.5\n3:-7\n"))
    assert panel.labels is not None
    assert panel.labels.dtype == np.float32
    assert panel.labels.tolist() == [0.5, -7]
    assert panel.schema.classes is None


@pytest.mark.parametrize(
    ("stamps", "times"),
    [(("0", "3"), [0, 3]), (("2017-12-20 15:30:05", "2017-12-20 15:30:07"), None)],
)
def test_time_stamps_are_kept(tmp_path: Path, stamps: tuple[str, str], times: list[int] | None) -> None:
    one, other = stamps
    panel = read_archive(
        archive(
            tmp_path,
            "@timeStamps true\n@univariate false\n@classLabel true a b\n@data\n"
            f"({one},1),({other},2):({one},3),({other},?):b\n",
        )
    )
    np.testing.assert_array_equal(panel.values, np.float32([[1, 3], [2, np.nan]]))
    expected = times or np.array([s.replace(" ", "T") for s in stamps], "datetime64[us]").tolist()
    assert panel.times.tolist() == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("@univariate true\n", r": has no line @data"),
        ("hello\n@data\n", r", line 1: expected a line that begins with @ or # before @data, got 'hello'\."),
        ("@univariate maybe\n@data\n", r", line 1: @univariate must be true or false, got 'maybe'\."),
        ("@dimension none\n@data\n", r", line 1: @dimension must be a number from 1 on, got 'none'\."),
        ("@classLabel true\n@data\n", r", line 1: @classLabel true must be followed by the classes\."),
        (HEAD.format(uni="true"), r": has no case after @data\."),
        (HEAD.format(uni="true") + "1,x:yes\n", r", line 7, channel 1: value 2, 'x', is no number; write \? if"),
        (HEAD.format(uni="true") + "1,inf:yes\n", r", line 7, channel 1: value 2 is infinite or beyond float32"),
        (
            HEAD.format(uni="true") + "1,2:maybe\n",
            r", line 7: the class 'maybe' is none of those in the header, no, yes\.",
        ),
        (HEAD.format(uni="true") + "1:2:yes\n", r", line 7: has 2 channels, but 1 were expected\."),
        (HEAD.format(uni="false") + "1:2:yes\n1:2:3:yes\n", r", line 8: has 3 channels, but 2 were expected\."),
        (HEAD.format(uni="false") + "1,2:2:yes\n", r", line 7, channel 2: has 1 values, but channel 1 has 2; write \?"),
        (HEAD.format(uni="true") + "yes\n", r", line 7: has no label after a colon"),
        ("@seriesLength 3\n@univariate true\n@data\n1,2\n", r", line 4: has 2 steps, but @seriesLength says 3\."),
        (
            "@timeStamps true\n@univariate true\n@data\n(1,2),(1,3)\n",
            r", line 4, channel 1: the time stamps do not ascend",
        ),
        (
            "@timeStamps true\n@univariate true\n@data\n1,2\n",
            r", line 4, channel 1: expected pairs such as \(time,value\)",
        ),
    ],
)
def test_a_line_that_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = archive(tmp_path, text)
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}{message}"):
        read_archive(path)


def test_classes_of_the_model_keep_their_codes(tmp_path: Path) -> None:
    train = read_archive(archive(tmp_path, HEAD.format(uni="true") + "1:yes\n2:no\n"))
    other = archive(tmp_path, "@univariate true\n@classLabel true yes no\n@data\n1:yes\n2:no\n")
    assert read_series(other).labels.tolist() == [0, 1]
    assert read_series(other, schema=train.schema).labels.tolist() == [1, 0]
    new = archive(tmp_path, "@univariate true\n@classLabel true yes perhaps\n@data\n1:yes\n")
    number = archive(tmp_path, "@univariate true\n@targetLabel true\n@data\n1:0.5\n")
    with pytest.raises(DataError, match=r"^the data have numbers to be told, but the model was trained on classes\.$"):
        read_series(number, schema=train.schema)
    new.write_text("@univariate true\n@classLabel true yes perhaps\n@data\n1:yes\n")
    with pytest.raises(DataError, match=r"^the class 'perhaps' is none of those of the model, no, yes\.$"):
        read_series(new, schema=train.schema)


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.ts"
    path.write_bytes(b"@data\n\xff")
    with pytest.raises(DataError, match=r"a\.ts: is not UTF-8 text: byte 6 cannot be read; is it a \.ts file\?$"):
        read_archive(path)


# --- the two files of a data set ------------------------------------------------------------------------------------

PAIR = {
    "Made_TRAIN.ts": "@univariate true\n@classLabel true no yes\n@data\n1,2:yes\n3:no\n",
    "Made_TEST.ts": "@univariate true\n@classLabel true yes no\n@data\n4,5:yes\n6:?\n7:no\n",
}


def folder(tmp_path: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_the_two_files_of_a_data_set_are_one_panel_with_its_parts(tmp_path: Path) -> None:
    panel = read_series(folder(tmp_path, PAIR | {"Made.txt": "about it"}))
    assert panel.ids == ("train_1", "train_2", "test_1", "test_2", "test_3")
    assert panel.values[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7]
    # By name, though the headers name the classes in another order.
    assert panel.schema.classes == ("no", "yes")
    assert panel.labels.tolist() == [1, 0, 1, -1, 0]
    assert panel.times.tolist() == [0, 1, 0, 0, 1, 0, 0]
    split = Split.by_column(panel)
    assert [part.series.tolist() for part in (split.train, split.valid, split.test)] == [[0, 1], [], [2, 3, 4]]


def test_times_of_the_two_files_are_kept(tmp_path: Path) -> None:
    head = "@timeStamps true\n@univariate true\n@targetLabel true\n@data\n"
    files = {"a_train.ts": head + "(0,1),(3,2):0.5\n", "a_test.ts": head + "(1,4),(2,5):1.5\n"}
    panel = read_archive(folder(tmp_path, files))
    assert panel.times.tolist() == [0, 3, 1, 2]
    assert panel.labels.tolist() == [0.5, 1.5]


def test_a_folder_with_one_file_is_that_file(tmp_path: Path) -> None:
    panel = read_series(folder(tmp_path, {"Made.ts": PAIR["Made_TRAIN.ts"]}))
    assert panel.ids == ("case_1", "case_2")
    assert panel.rows.part is None


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"a.ts": "", "b.ts": ""},
            r": expected one \.ts file, or NAME_TRAIN\.ts and NAME_TEST\.ts, but there is a\.ts, b",
        ),
        (
            {"Made_TEST.ts": PAIR["Made_TEST.ts"].replace("yes no", "yes no maybe")},
            r": the two files differ in their classes, \['no', 'yes'\] and \['maybe', 'no', 'yes'\]; read them apart",
        ),
        (
            {"Made_TEST.ts": "@univariate false\n@classLabel true no yes\n@data\n1:2:yes\n"},
            r": the two files differ in their channels, 1 and 2; read them apart\.$",
        ),
        (
            {"Made_TEST.ts": "@timeStamps true\n@univariate true\n@classLabel true no yes\n@data\n(0,1):yes\n"},
            r": the two files differ in their time stamps, ",
        ),
    ],
)
def test_files_that_are_no_pair_are_refused(tmp_path: Path, files: dict[str, str], message: str) -> None:
    with pytest.raises(DataError, match=re.escape(str(tmp_path)) + message):
        read_archive(folder(tmp_path, files if "a.ts" in files else PAIR | files))
