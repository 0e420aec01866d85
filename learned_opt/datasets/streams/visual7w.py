"""Visual7W, questions on pictures with four answers to choose from, in the layout in which it is published.

Reference:
    Zhu, Groth, Bernstein, Fei-Fei, Visual7W: grounded question answering in images, CVPR 2016. Words and
    lengths are as in the authors' code: lower case without punctuation, words that occur more than five
    times, 15 words of a question and 5 of an answer.
"""

import collections
import json
import os
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from learned_opt.core.errors import check_at_least
from learned_opt.core.paths import user_path
from learned_opt.datasets.errors import DataNotPreparedError
from learned_opt.datasets.streams.decoding import opened, resized
from learned_opt.datasets.streams.source import Sample, UnreadableError

TYPES = ("what", "where", "when", "who", "why", "how", "which")
CHOICES = 4
QUESTION_WORDS, ANSWER_WORDS = 15, 5
PADDING, UNKNOWN = 0, 1  # word numbers; those of words follow
URL = "http://ai.stanford.edu/~yukez/visual7w/"

Kind = Literal["telling", "pointing"]


class Question(NamedTuple):
    """A question; its choices are texts, or boxes f32[4] (left, upper, right, lower) in pixels."""

    file: Path
    text: str
    type: int
    choices: list[Any]  # the right one first
    id: int


class Visual7W:
    """Questions on pictures, and four answers each, of which one is right.

    `directory` holds `dataset_v7w_telling.json`, whose answers are texts, or `dataset_v7w_pointing.json`,
    whose answers are boxes in the picture; and the pictures, `v7w_ID.jpg`, in it or in `images` under it.

    Args:
        directory: of the unpacked archives.
        split: `"train"`, `"val"` or `"test"`.
        kind: `"telling"` or `"pointing"`.
        image_size: pixels of a side to which pictures, and boxes, are scaled.
        min_count: words of the training questions and answers that are rarer are all the same one.

    Raises:
        DataNotPreparedError: if the questions or the pictures are not there; the path is named.
        ValueError: if the file is not laid out as it was published, or has no such split.

    Example:
        >>> Visual7W("/nowhere", "train")
        Traceback (most recent call last):
        ...
        learned_opt.datasets.errors.DataNotPreparedError: /nowhere/dataset_v7w_telling.json is missing; ...

    Reference:
        Zhu, Groth, Bernstein, Fei-Fei, Visual7W: grounded question answering in images, CVPR 2016.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        split: str,
        *,
        kind: Kind = "telling",
        image_size: int = 224,
        min_count: int = 6,
    ):
        check_at_least(1, image_size=image_size, min_count=min_count)
        if kind not in ("telling", "pointing"):
            raise ValueError(f"kind={kind!r}: choose 'telling' or 'pointing'")
        root = user_path(directory).absolute()
        self.path = root / f"dataset_v7w_{kind}.json"
        content = _content(self.path)
        pictures = root / "images" if (root / "images").is_dir() else root
        splits = {image["split"] for image in content["images"]}
        if split not in splits:
            raise ValueError(f"{self.path} has no split {split!r}; it has {', '.join(sorted(splits))}")
        boxes = _boxes(content, self.path) if kind == "pointing" else None
        self.questions = _questions(content, split, boxes, pictures, self.path)
        if not any(question.file.is_file() for question in self.questions):
            raise DataNotPreparedError(
                f"{pictures} has none of the pictures of {self.path}, such as {self.questions[0].file.name}; "
                f"unpack visual7w_images.zip from {URL} there"
            )
        training = _questions(content, "train", boxes, pictures, self.path)
        self.words = vocabulary(training, min_count)
        self.kind, self.split, self.image_size = kind, split, image_size
        self.remedy = f"unpack visual7w_images.zip from {URL} into {pictures} anew"
        self._numbers = {word: number for number, word in enumerate(self.words, UNKNOWN + 1)}

    @property
    def num_words(self) -> int:
        """How many numbers words have, those of padding and of unknown words among them."""
        return len(self.words) + UNKNOWN + 1

    def __len__(self) -> int:
        """How many questions the split has."""
        return len(self.questions)

    def sample(self, index: int, rng: np.random.Generator | None) -> Sample:
        """A question with its choices, in an order that is the same every time.

        Args:
            index: of the question.
            rng: of no effect; questions speak of left and right, and of what is at the margin.

        Returns:
            `image` u8[S, S, 3], `question` i32[15], `type` i32[] in `TYPES`, `answer` i32[], and `choices`
            i32[4, 5], words, or `regions` u8[4, S, S, 3], what is in the boxes.

        Raises:
            UnreadableError: naming the picture.
        """
        del rng
        question, size = self.questions[index], self.image_size
        # A network that gives all choices the same score must not be right because of their order.
        order = np.random.default_rng(question.id).permutation(CHOICES)
        found = {
            "question": self._encoded(question.text, QUESTION_WORDS),
            "type": np.int32(question.type),
            "answer": np.int32(np.flatnonzero(order == 0)[0]),
        }
        choices = [question.choices[i] for i in order]
        try:
            image = opened(question.file.read_bytes())
            if self.kind == "telling":
                found["choices"] = np.stack([self._encoded(choice, ANSWER_WORDS) for choice in choices])
            else:
                image = image.convert("RGB")
                found["regions"] = np.stack([resized(image, size, _within(box, image)) for box in choices])
            found["image"] = resized(image, size)
        except (OSError, UnreadableError) as error:
            reason = "it is missing" if isinstance(error, FileNotFoundError) else str(error)
            raise UnreadableError(f"{question.file}: {reason}") from error
        return found

    def _encoded(self, text: str, length: int) -> np.ndarray:
        numbers = [self._numbers.get(word, UNKNOWN) for word in words_of(text)[:length]]
        return np.array(numbers + [PADDING] * (length - len(numbers)), np.int32)


def words_of(text: str) -> list[str]:
    """The words of a text, in small letters and without punctuation."""
    return text.lower().translate(str.maketrans("", "", string.punctuation)).split()


def vocabulary(questions: Sequence[Question], min_count: int) -> list[str]:
    """The words of questions and of right answers that occur so often, in the order of the alphabet."""
    counts = collections.Counter()
    for question in questions:
        counts.update(words_of(question.text))
        if isinstance(question.choices[0], str):
            counts.update(words_of(question.choices[0]))
    return sorted(word for word, count in counts.items() if count >= min_count)


def _content(path: Path) -> dict[str, Any]:
    if not path.is_file():
        archive = path.with_suffix(".zip").name
        raise DataNotPreparedError(f"{path} is missing; unpack {archive} from {URL} there")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}; unpack the archive anew") from error
    try:
        for image in content["images"]:
            _ = image["split"], image["filename"], image["qa_pairs"]
    except (KeyError, TypeError) as error:
        raise _layout(path, error) from error
    return content


def _boxes(content: dict[str, Any], path: Path) -> dict[Any, np.ndarray]:
    """Left, upper, right and lower edge, by number."""
    try:
        return {
            box["box_id"]: np.array(
                (box["x"], box["y"], box["x"] + box["width"], box["y"] + box["height"]), np.float32
            )
            for box in content["boxes"]
        }
    except (KeyError, TypeError) as error:
        raise _layout(path, error) from error


def _questions(
    content: dict[str, Any], split: str, boxes: dict[Any, np.ndarray] | None, pictures: Path, path: Path
) -> list[Question]:
    found = []
    try:
        for image in content["images"]:
            for pair in image["qa_pairs"] if image["split"] == split else ():
                choices = [pair["answer"], *pair["multiple_choices"]]
                if len(choices) != CHOICES:
                    raise ValueError(
                        f"{path}: question {pair['qa_id']} has {len(choices)} choices, not {CHOICES}"
                    )
                choices = [str(choice) if boxes is None else boxes[choice] for choice in choices]
                file, kind = pictures / image["filename"], TYPES.index(pair["type"])
                found.append(Question(file, str(pair["question"]), kind, choices, int(pair["qa_id"])))
    except (KeyError, TypeError) as error:
        raise _layout(path, error) from error
    return found


def _layout(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path} is not laid out as {path.name} was published: {type(error).__name__} {error}; unpack the "
        f"archive from {URL} anew"
    )


def _within(box: np.ndarray, image: Any) -> tuple[float, float, float, float]:
    """A box inside a picture, of at least a pixel; some reach a little beyond."""
    left, upper, right, lower = (float(edge) for edge in box)
    width, height = image.size
    left, upper = min(max(left, 0.0), width - 1.0), min(max(upper, 0.0), height - 1.0)
    return left, upper, max(min(right, width), left + 1), max(min(lower, height), upper + 1)
