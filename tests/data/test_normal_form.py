import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.normal_form import normal_form


@given(st.text())
def test_a_normal_form_is_its_own_and_that_of_every_unicode_form(text):
    form = normal_form(text)
    assert normal_form(form) == form
    assert {normal_form(unicodedata.normalize(kind, text)) for kind in ("NFC", "NFD", "NFKC", "NFKD")} == {form}


def test_case_white_space_and_compatible_letters_do_not_matter():
    assert normal_form(" What\u00a0 is\tthe Ｃaf\u0065\u0301 ﬁle?\n") == normal_form("what IS the café file?")
    assert normal_form("what is it?") != normal_form("what is it")
