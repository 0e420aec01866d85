"""Tables as pandas, numpy and spreadsheets write them, and what is said of those that cannot be read."""

import bz2
import gzip
import lzma

import numpy as np
import pytest

from learned_opt.cli import main
from learned_opt.cli.tables import read_problem
from learned_opt.cli.text_tables import Dialect

X = [[1.5, 20.0], [-3.0, 4e-3], [5.0, 6.25], [7.0, 0.5]]
LABELS = ["no", "yes", "no", ""]
PLAIN = "a,b,label\n1.5,20,no\n-3,4e-3,yes\n5,6.25,no\n7,.5,\n"


def read(tmp_path, data, name="d.csv", target=None, queries=None, **dialect):
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    if queries is not None:
        (tmp_path / "q.csv").write_text(queries)
        queries = tmp_path / "q.csv"
    return read_problem(path, target, queries, Dialect(**dialect))


def assert_reads(problem, *notes, first_line=2):
    np.testing.assert_array_equal(problem.inputs, X[:3])
    np.testing.assert_array_equal(problem.queries, X[3:])
    np.testing.assert_array_equal(problem.targets, [0, 1, 0])
    assert problem.classes == ("no", "yes")
    assert list(problem.rows) == [first_line + 3]
    for note in notes:
        assert note in problem.notes[0]


@pytest.mark.parametrize(
    ("separator", "name"),
    [(",", "commas"), (";", "semicolons"), ("\t", "tabs"), ("|", "bars"), (" ", "spaces")],
)
def test_delimiters(tmp_path, separator, name):
    assert_reads(
        read(
            tmp_path,
            PLAIN.replace(",", separator)
            if separator != " "
            else PLAIN.replace(",", " ").replace(".5 \n", ".5 NaN\n"),
        ),
        f"columns separated by {name}",
        "header in line 1",
    )


@pytest.mark.parametrize("delimiter", [";", "tab", "\\t", "\t", ":"])
def test_a_delimiter_can_be_given(tmp_path, delimiter):
    written = "\t" if "t" in delimiter else delimiter
    assert_reads(read(tmp_path, PLAIN.replace(",", written), delimiter=delimiter))
    with pytest.raises(ValueError, match="delimiter='::': give one character, or tab"):
        Dialect(delimiter="::")


def test_spreadsheets_name_the_delimiter_in_a_line_of_its_own(tmp_path):
    assert_reads(read(tmp_path, "sep=;\r\n" + PLAIN.replace(",", ";").replace("\n", "\r\n")), first_line=3)


def test_decimal_commas_are_asked_for(tmp_path):
    text = "a;b;label\n1,5;20;no\n-3;4e-3;yes\n5;6,25;no\n7;,5;\n".replace("4e-3", "0,004")
    assert_reads(read(tmp_path, text, decimal=","), "semicolons")
    with pytest.raises(
        ValueError, match=r"line 2, column 'a': '1,5' is no number \(with --decimal , it is one\)"
    ):
        read(tmp_path, text)
    with pytest.raises(ValueError, match=r"'1.5' is no number \(with --decimal \. it is one\)"):
        read(tmp_path, PLAIN, decimal=",")


INDEXED = "\n".join(f"{i},{line}" for i, line in enumerate(PLAIN.splitlines()[1:])) + "\n"


@pytest.mark.parametrize("header", [",a,b,label", "Unnamed: 0,a,b,label", "index,a,b,label", "a,b,label"])
def test_the_index_that_pandas_writes_is_left_out_and_said(tmp_path, header):
    assert_reads(read(tmp_path, f"{header}\n{INDEXED}"), "the first column", "left out as an index")
    kept = read(tmp_path, f"{header}\n{INDEXED}", keep_index=True)
    np.testing.assert_array_equal(kept.inputs[:, 0], [0, 1, 2])


def test_indices_of_several_levels_and_in_any_order(tmp_path):
    rows = "\n".join(f"x{i % 2},{9 - i},{line}" for i, line in enumerate(PLAIN.splitlines()[1:]))
    assert_reads(read(tmp_path, f",,a,b,label\n{rows}\n"), "left out as an index")


def test_a_named_column_that_counts_the_rows_is_used_and_said(tmp_path):
    problem = read(tmp_path, f"time,a,b,label\n{INDEXED}")
    assert problem.inputs.shape == (3, 3)
    assert "the column 'time' counts the rows" in problem.notes[0]


def test_an_index_of_the_queries_is_left_out_as_well(tmp_path):
    known = f",a,b,label\n{INDEXED}".replace("3,7,.5,\n", "")
    problem = read(tmp_path, known, queries=",b,a\n0,.5,7\n")
    np.testing.assert_array_equal(problem.queries, X[3:])
    assert all("left out as an index" in note for note in problem.notes[:2])


@pytest.mark.parametrize("headed", [True, False])
def test_a_missing_header_is_noticed_and_no_sample_is_lost(tmp_path, headed):
    text = PLAIN if headed else PLAIN.partition("\n")[2]
    assert_reads(
        read(tmp_path, text), "header in line 1" if headed else "no header", first_line=2 if headed else 1
    )
    indexed = INDEXED if not headed else f",a,b,label\n{INDEXED}"
    assert_reads(read(tmp_path, indexed), "left out as an index", first_line=2 if headed else 1)
    assert read(tmp_path, text, header="yes").inputs.shape == (3 if headed else 2, 2)


@pytest.mark.parametrize("names", ["0,1,2", "0,1,label", ",0,1,label", ",0,1,2"])
def test_the_numbers_by_which_pandas_calls_columns_are_a_header(tmp_path, names):
    assert_reads(
        read(tmp_path, f"{names}\n{INDEXED if names[0] == ',' else PLAIN.partition(chr(10))[2]}"), "header in"
    )


@pytest.mark.parametrize("first", ["2019,2020,label", "1.5,q,no"])
def test_what_may_be_a_header_or_a_sample_is_asked_for(tmp_path, first):
    text = f"{first}\n{PLAIN.partition(chr(10))[2]}"
    with pytest.raises(
        ValueError, match=r"line 1: .* may name the columns or be the first row; .*--header yes"
    ):
        read(tmp_path, text)
    assert_reads(read(tmp_path, text, header="yes"), "header in line 1")
    assert_reads(
        read(tmp_path, text, target=first.split(",")[-1]) if "label" in first else read(tmp_path, PLAIN),
        "header in line 1",
    )


def test_comments_are_left_out_and_lines_still_counted(tmp_path):
    text = "# made by hand, today\n#\n" + PLAIN.replace("5,6.25", "# so it's \"quoted\n5,6.25")
    problem = read(tmp_path, text)
    assert_reads(problem, "3 lines of comments left out", "header in line 3", first_line=5)
    quoted = read(tmp_path, PLAIN.replace("a,b", '"a\n# b",b'))
    assert "'a\\n# b'" in quoted.notes[-1] or "a\n# b" in quoted.notes[-1]


def test_the_header_that_numpy_writes_is_a_comment(tmp_path):
    problem = read(tmp_path, "# a b label\n1.5 20 0\n-3 4e-3 1\n5 6.25 0\n7 .5 nan\n")
    np.testing.assert_array_equal(problem.inputs, X[:3])
    assert "header in the comment" in problem.notes[0] or "header in line 1" in problem.notes[0]
    assert "inputs: a, b" in problem.notes[-1]


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8"),
        ("cp1252", "cp1252, since it is not UTF-8"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16-LE"),
        ("utf-16-be", "UTF-16-BE"),
        ("utf-32", "UTF-32"),
    ],
)
def test_encodings(tmp_path, encoding, said):
    text = PLAIN.replace("a,", "Größe in µm,").replace("no\n", "nein ± ø\n").replace("yes", "ja")
    if encoding == "cp1252":
        assert read(tmp_path, text.encode(encoding), encoding="cp1252").classes == ("ja", "nein ± ø")
    problem = read(tmp_path, text.encode(encoding))
    assert problem.classes == ("ja", "nein ± ø")
    assert said in problem.notes[0]
    np.testing.assert_array_equal(problem.inputs, X[:3])


@pytest.mark.parametrize(
    ("compress", "name"), [(gzip.compress, "gzip"), (bz2.compress, "bzip2"), (lzma.compress, "xz")]
)
@pytest.mark.parametrize("suffix", [".csv.gz", ".csv", ".data"])
def test_compressed_tables(tmp_path, compress, name, suffix):
    assert_reads(read(tmp_path, compress(PLAIN.encode()), name=f"d{suffix}"), name)
    with pytest.raises(ValueError, match=rf"its {name} compression is damaged or cut short"):
        read(tmp_path, compress(PLAIN.encode())[:-9])


@pytest.mark.parametrize("missing", ["", "NaN", "nan", "NA", "<NA>", "None", "null"])
def test_missing_targets_as_pandas_writes_them_are_queries(tmp_path, missing):
    assert_reads(read(tmp_path, PLAIN.replace(".5,\n", f".5,{missing}\n")))


def test_booleans_line_ends_blank_lines_and_quotes(tmp_path):
    text = 'a, "b",label\r\rTrue,1,"n"\r\n\nfalse,2,"""y"" e"\nTRUE,3,n\n,,\n'
    problem = read(tmp_path, text, queries='b,a\n"1e2","FALSE"\n')
    np.testing.assert_array_equal(problem.inputs, [[1, 1], [0, 2], [1, 3]])
    np.testing.assert_array_equal(problem.queries, [[0, 100]])
    assert problem.classes == ('"y" e', "n")
    assert "1 rows without any value left out" in problem.notes[0]


def test_a_delimiter_at_the_end_of_each_line(tmp_path):
    assert_reads(read(tmp_path, PLAIN.replace("\n", ",\n").replace("label,", "label")))
    assert_reads(read(tmp_path, PLAIN.replace("\n", ",\n")), first_line=2)


LONG = "x" * 200_000
WRONG = {
    "no table": ("hello\nworld\n", "no two columns were found"),
    "empty": ("", "d.csv is empty"),
    "blank": ("\n\n", "d.csv is empty"),
    "title": ("Measured on Monday\n" + PLAIN, "line 2: 3 values for 1 columns; is line 1 a title"),
    "one value less": (PLAIN.replace("\n-3,", "\n"), "line 3: 2 values for 3 columns"),
    "open quote": (
        PLAIN.replace("\n-3", "\n" + '"-3'),
        "line 3: a quotation mark opens a field that does not end",
    ),
    "stray quote": (
        PLAIN.replace("\n-3", "\n" + '"-"3'),
        "line 3: something follows a closing quotation mark",
    ),
    "two open quotes": (
        PLAIN.replace("\n-3", "\n" + '"-3').replace("\n5,6", '\n"5,6'),
        "line 3: something follows a closing",
    ),
    "huge field": (PLAIN.replace("\n-3", "\n" + LONG), "line 3: a field of more than 131,072 characters"),
    "huge quoted field": (PLAIN.replace("\n-3", "\n" + f'"{LONG}'), "line 3: a field of more than 131,072"),
    "long text": (PLAIN.replace("\n-3", "\n" + "x" * 5000), "line 3, column 'a': 'xxx"),
    "text": (PLAIN.replace("\n-3", "\n" + "low"), "line 3, column 'a': 'low' is no number"),
    "Python's numbers": (PLAIN.replace("20,", "2_0,"), "line 2, column 'b': '2_0' is no number"),
    "infinite": (PLAIN.replace("\n-3", "\n" + "-inf"), "line 3, column 'a': -inf is missing or infinite"),
    "too large": (PLAIN.replace("\n-3", "\n" + "1e999"), "line 3, column 'a': '1e999' is too large"),
    "constant": (
        PLAIN.replace("\n-3", "\n" + "1.5").replace("\n5,", "\n1.5,"),
        "column 'a': it is 1.5 in every row",
    ),
    "no values": (",,\n,,\n", "d.csv holds no values"),
    "many classes": (
        "a,b,c\n" + "\n".join(f"{i},2,{LONG[:900]}{i}" for i in range(99)),
        "99 different values",
    ),
    "latin": (PLAIN.replace("no", "n\x81").encode("latin-1"), "line 2: the text is neither UTF-8 nor cp1252"),
    "zeros": (PLAIN.replace("no", "n\0"), "line 2: a zero byte"),
    "zip": (b"PK\x03\x04rest", "a zip archive or an Excel workbook and no text"),
    "parquet": (b"PAR1rest", "a Parquet file and no text"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_a_short_paragraph(case, tmp_path, capsys):
    data, expected = WRONG[case]
    path = tmp_path / "d.csv"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    with pytest.raises(SystemExit) as e:
        main(["predict", str(path)])
    shown = capsys.readouterr().err
    assert e.value.code == 2
    assert expected in shown
    assert "d.csv" in shown
    assert len(shown) < 400 + len(str(path))
    assert "Traceback" not in shown


def test_arrays_that_cannot_be_read_are_named(tmp_path):
    for data in (b"nothing", b"PK\x03\x04rest", b""):
        with pytest.raises(ValueError, match=r"d\.npz: "):
            read(tmp_path, data, name="d.npz")
    np.savez(tmp_path / "o.npz", inputs=np.array([object()]), targets=[1], queries=[1])
    with pytest.raises(ValueError, match=r"o\.npz: "):
        read_problem(tmp_path / "o.npz")
    with pytest.raises(ValueError, match="is a directory"):
        read_problem(tmp_path)


def test_unknown_encodings_are_refused(tmp_path):
    with pytest.raises(ValueError, match="encoding='utf-9': Python knows no such encoding"):
        read(tmp_path, PLAIN, encoding="utf-9")
    with pytest.raises(ValueError, match=r"d\.csv, line 2: the text is not ascii"):
        read(tmp_path, PLAIN.replace("no", "nö"), encoding="ascii")


def test_the_command_says_what_it_read_beside_the_predictions(tmp_path, capsys):
    rng = np.random.default_rng(0)
    lines = [
        f"{i};{a};{b};{'' if i > 30 else 'ja' if a > 0 else 'nein'}"
        for i, (a, b) in enumerate(rng.normal(size=(40, 2)))
    ]
    path = tmp_path / "d.csv"
    path.write_text("\n".join([";a;b;c", *lines]), encoding="utf-16")
    main(["predict", str(path), "--num-orders", "2"])
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 10
    for word in (
        "UTF-16",
        "semicolons",
        "header in line 1",
        "left out as an index",
        "'ja' is 0",
        "31 samples",
    ):
        assert word in shown.err
