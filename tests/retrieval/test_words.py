"""The words of texts in many scripts."""

import pytest

from pipeline.retrieval.words import words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Red wings, red_wing __init__ 1957!", "red wings red_wing __init__ 1957"),
        ("Vitamin C, type 2; T-cells. A plan B?", "vitamin c type 2 t cells a plan b"),
        # A part that an apostrophe or a full stop joins to a word is none by itself.
        ("the cell's, l’eau, e.g. 0.05, don't", "the cell eau 05 don"),
        ("naïve Straße ÉTÉ e\u0301te\u0301", "naïve straße été été"),
        ("हिन्दी में क्या है", "हिन्दी में क्या है"),
        ("தமிழ் மொழி", "தமிழ் மொழி"),
        ("كَتَبَ الوَلَدُ", "كَتَبَ الوَلَدُ"),
        ("שָׁלוֹם עולם", "שָׁלוֹם עולם"),
        ("می‌خواهم بروم", "می‌خواهم بروم"),
        ("Привет, мир", "привет мир"),
        ("བོད་སྐད", "བོད སྐད"),
        # Lucene's CJKAnalyzer on the example in its documentation, and across scripts.
        ("我是中国人", "我是 是中 中国 国人"),
        ("多くの学生が試験に落ちた。", "多く くの の学 学生 生が が試 試験 験に に落 落ち ちた"),
        ("한국어는 재미있다", "한국 국어 어는 재미 미있 있다"),
        ("猫。人々", "猫 人々"),
        ("2023年に Tシャツ", "2023 年に t シャ ャツ"),
        # The marks of Thai, Khmer and Burmese stay on their letters.
        ("ไม่มี", "ไม่ ม่มี"),
        ("ខ្មែរ", "ខ្មែ មែរ"),
        ("မြန်မာ", "မြန် န်မာ"),
        # Full width and half width, ligatures and marks that come after their letter.
        ("ＡＢＣ ｶﾞｷﾞ ﬁne", "abc ガギ fine"),
        ("", ""),
        ("🙂 _ ?! —", ""),
    ],
)
def test_words_of_every_script(text, words):
    assert words_of(text) == words.split(" ") * bool(words)
