"""What is wrong is said in the words of the file, with a remedy that helps."""

import pytest
from configurations import only_problem, problems

AT = "deployments.btc"
MAPPING = "is not a mapping of keys to values"
CALENDAR = {"zone": "UTC", "open": "09:00", "close": "10:00"}


@pytest.mark.parametrize(
    ("key", "value", "message", "remedy"),
    [
        ("http.port", 70_000, "must be at most 65535 (it is 70000).", "write 65535 or less."),
        ("dead_letters.max_share", 0, "must be more than 0 (it is 0).", "write more than 0."),
        (f"{AT}.samples.ks_k", 5, "must be at least 100 (it is 5).", "write 100 or more."),
        (f"{AT}.paper.fee_bps", "10000", "must be less than 10000 (it is 10000).", "write less than 10000."),
        (f"{AT}.paper", [], f"{MAPPING} (it is []).", "write a mapping of keys to values."),
        (f"{AT}.windows", "5m", "is not a list (it is '5m').", "write a list: [..., ...]."),
        (f"{AT}.tenant", "", "is empty (it is '').", "write at least one character."),
        (f"{AT}.models.active", 5, "is not the path of a file (it is 5).", "write the path of a file."),
        ("http", None, f"{MAPPING} (it is null).", "write a mapping of keys to values."),
        ("version", 2, "must be 1 (it is 2).", "write 1."),
        ("log.level", "loud", "must be debug, info, warning or error (it is 'loud').",
         "use one of: debug, error, info, warning."),
    ],
)  # fmt: skip
def test_a_mistake_is_told_without_the_words_of_the_program(key, value, message, remedy):
    found = only_problem({key: value})
    assert (found.key, found.message, found.remedy) == (key, message, remedy)


def test_a_list_of_mistakes_is_not_called_empty_too():
    found = problems({f"{AT}.calendar": CALENDAR | {"days": ["Mon", "funday"]}})
    assert [p.key for p in found] == [f"{AT}.calendar.days[0]", f"{AT}.calendar.days[1]"]
    assert only_problem({f"{AT}.calendar": CALENDAR | {"days": []}}).message == "is empty (it is [])."
