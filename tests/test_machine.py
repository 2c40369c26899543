"""What `--resources` may say, and what is said of it when it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from chronos_py.config import BadSetting, settle
from chronos_py.drivers.local import specs
from chronos_py.machine import read_machine, read_order
from chronos_py.model.pools import AgentSpec
from chronos_py.model.resources import Resources

HERE = Resources.of(8, 16_000, 90_000)


def agents(text: str, attributes: dict[str, str] | None = None) -> tuple[AgentSpec, ...]:
    return specs(read_machine(text), HERE, attributes or {})


def test_one_agent_is_this_machine_but_for_what_is_said() -> None:
    assert agents("") == (AgentSpec(HERE),)
    assert agents("cpus:2;mem:512", {"a": "b"}) == (
        AgentSpec(Resources.of(2, 512, 90_000), attributes={"a": "b"}),
    )  # fmt: skip


def test_what_is_reserved_is_beside_what_is_shared() -> None:
    (agent,) = agents("cpus:2;cpus(news):1.5;mem(news):100;disk(a/b):10")
    assert agent.resources == Resources.of(3.5, 16_000, 90_000)
    assert agent.reserved == {"news": Resources.of(1.5, 100), "a/b": Resources.of(disk=10)}


def test_several_agents() -> None:
    text = "name:a; cpus:1; mem:2; disk:3; attributes: rack:r1 , dc:x:y | name:b;host:b.example;cpus(*):4;mem:5;disk:6"
    first, second = agents(text, {"dc": "z", "all": "1"})
    assert first == AgentSpec(Resources.of(1, 2, 3), "a", "a", attributes={"rack": "r1", "dc": "x:y", "all": "1"})
    assert second == AgentSpec(Resources.of(4, 5, 6), "b", "b.example", attributes={"dc": "z", "all": "1"})


def test_a_file_with_an_agent_in_each_line(tmp_path: Path) -> None:
    file = tmp_path / "agents"
    file.write_text("# two of them\nname:a;cpus:1;mem:1;disk:1\n\nname:b;cpus:1;mem:1;disk:1\n")
    assert [agent.name for agent in agents(str(file))] == ["a", "b"]
    with pytest.raises(ValueError, match="cannot be read"):
        read_machine(f"{file}.none")


A, B = "name:a;cpus:1;mem:1;disk:1", "name:b;cpus:1;mem:1;disk:1"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("cpu:4", "'cpu' is not one of cpus, mem, disk"), ("cpus:x", "'x' is no number"),
        ("cpus:0", "0 is out of range"), ("cpus:1;cpus:2", "cpus is given twice"),
        ("cpus(a b):1", "'a b' is no role"), ("cpus(news):1;cpus(news):2", "cpus(news) is given twice"),
        ("attributes:rack", "attributes: 'rack' is not of the form name:value"),
        (f"{A}|cpus:1;mem:1;disk:1", "agent 2: has no name"), (f"{A}|{A}", "agent a: the name is given twice"),
        (f"{A}|name:b;cpus:1", "agent b: mem and disk must be given of an agent with a name"),
        (f"{A}|name:b c;cpus:1", "agent 2: 'name:b c': a name is given once"),
        (f"{A}|name:b;host:-;cpus:1", "agent b: 'host:-': a host"), (f"{A}|", "agent 2: has no name"),
        (f"{A};attributes:x:1,x:2", "attributes: x is given twice"),
        ("|".join(f"name:a{n}" for n in range(1001)), "1000 are the most"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(text: str, sentence: str) -> None:
    with pytest.raises(BadSetting) as caught:
        settle({"resources": text}, {})
    assert str(caught.value).startswith("--resources ")
    assert sentence in str(caught.value)


def test_a_node_of_several_may_be_several_agents() -> None:
    settings = settle({"resources": f"{A}|{A.replace('name:a', 'name:b')}", "zk_hosts": "h:1"}, {})
    assert [agent.name for agent in settings.machine] == ["a", "b"]


def test_orders() -> None:
    assert read_order("") == {}
    assert read_order("reserved, news:shared") == {"": "reserved", "news": "shared"}
    for text in ("first", "news:", ":shared", "shared,reserved", "a:shared,a:shared"):
        with pytest.raises(ValueError, match=r"is none of|given twice"):
            read_order(text)
    with pytest.raises(BadSetting, match="film is not one of --mesos_role"):
        settle({"resource_order": "film:shared", "mesos_role": "news"}, {})
