import pytest

from ukb_brain.tables.dictionary import field_of, fields_by_title, words


# As the showcase has them: https://biobank.ndph.ox.ac.uk/showcase/field.cgi?id=…
@pytest.mark.parametrize(
    ("field", "title", "value_type", "unit", "coding", "last_instance", "answers"),
    [
        (31, "Sex", "categorical", "", 9, 0, 1),
        (53, "Date of attending assessment centre", "date", "", None, 3, 1),
        (
            6150,
            "Vascular/heart problems diagnosed by doctor",
            "categorical_multiple",
            "",
            100605,
            2,
            4,
        ),
        (20023, "Mean time to correctly identify matches", "integer", "milliseconds", None, 3, 1),
        (21002, "Weight", "continuous", "Kg", None, 3, 1),
        (4080, "Systolic blood pressure, automated reading", "integer", "mmHg", None, 3, 2),
    ],
)
def test_what_the_dictionary_says(field, title, value_type, unit, coding, last_instance, answers):
    entry = field_of(field)
    assert (entry.title, entry.value_type, entry.unit) == (title, value_type, unit)
    assert entry.coding == coding
    assert list(entry.instances) == list(range(last_instance + 1))
    assert len(entry.arrays) == answers


def test_an_unknown_field():
    assert field_of(999_999) is None


def test_titles_lead_back_to_fields_and_some_are_shared():
    assert fields_by_title()["sex"] == (31,)
    assert set(fields_by_title()["weight"]) == {21002, 23098}
    for field in (31, 6150, 6152, 1707, 30750):
        assert field in fields_by_title()[words(field_of(field).title)]


def test_words_pass_over_what_r_changes():
    title = "Handedness (chirality/laterality)"
    assert words(title) == words("Handedness..chirality.laterality.") == words(f" {title.upper()}")
