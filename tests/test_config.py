"""Flags, variables, the folder with a file a flag; what is refused; the page that describes it all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import chronos_py
from chronos_py.config import BadSetting, settle
from chronos_py.flags import FLAGS, Flag
from scripts.configuration_doc import PAGE, SAMPLE, document, sample

CHRONOS_24 = """\
master user failover_timeout schedule_horizon task_epsilon leader_max_idle_time cluster_name hostname webui_url zk_hosts
zk_path zk_timeout mesos_framework_name mesos_role mesos_checkpoint mesos_task_cpu mesos_task_mem mesos_task_disk
mesos_authentication_principal mesos_authentication_secret_file reconciliation_interval revive_offers_for_new_jobs
decline_offer_duration min_revive_offers_interval failure_retry disable_after_failures mail_server mail_user
mail_password mail_from mail_ssl raven_dsn slack_url http_notification_url http_notification_credentials
cassandra_contact_points cassandra_port cassandra_user cassandra_password cassandra_keyspace cassandra_table
cassandra_stat_count_table cassandra_consistency cassandra_ttl job_history_limit graphite_host_port
graphite_reporting_interval graphite_group_prefix http_address http_port https_port ssl_keystore_path
ssl_keystore_password http_credentials http_realm assets_path
"""
CHRONOS_3 = [
    *CHRONOS_24.split(),
    "zk_auth",
    "mattermost_url",
    "disable_http",
    "https_address",
    "disable_http_compression",
]
FORMER = ["default_job_owner", "log_config", "ganglia_host_port"]
NAMES = [flag.name for flag in FLAGS]


@pytest.mark.parametrize("name", [*CHRONOS_3, *FORMER])
def test_every_flag_of_chronos_is_known(name):
    assert name in NAMES


def test_flags_and_variables_are_not_named_twice():
    variables = [variable for flag in FLAGS for variable in flag.variables]
    assert len(set(NAMES)) == len(NAMES)
    assert len(set(variables)) == len(variables)


def test_each_flag_that_claims_an_effect_is_read_and_nothing_else_is():
    package = Path(chronos_py.__file__).parent
    text = "".join(
        (package / name).read_text("utf-8") for name in ("app.py", "serving.py", "config.py", "notify/settings.py")
    )
    read = set(re.findall(r"\b(?:settings|self)\.(?:settings\.)?([a-z_]+)", text))
    read |= {flag.name for flag in FLAGS if f'"{flag.name}"' in (package / "notify/settings.py").read_text("utf-8")}
    read |= {f"{name}_url" for name in ("slack", "mattermost")}
    read |= set(re.findall(r"""self\.values\["([a-z_]+)"\]""", text)) | {"config_dir", "config"}
    assert {flag.name for flag in FLAGS if flag.use == "used"} <= read
    assert not {flag.name for flag in FLAGS if flag.use == "idle"} & read


def test_only_letters_that_never_changed_are_accepted():
    assert {flag.letter for flag in FLAGS} - {""} == set("cfgjlrtuz")


@pytest.mark.parametrize("flag", FLAGS, ids=lambda flag: flag.name)
def test_a_default_is_a_value_that_could_be_given(flag: Flag):
    if flag.use == "refused" or flag.default == "":
        return
    assert settle({flag.name: flag.default}, {}).values[flag.name] == flag.default


def test_without_anything_given_all_is_as_in_the_original():
    settings = settle({}, {})
    assert (settings.http_port, settings.master, settings.user, settings.task_epsilon) == (8080, "local", "root", 60)
    assert (settings.failure_retry, settings.mesos_task_mem, settings.http_realm) == (60000, 128.0, "Mesosphere")
    assert settings.credentials is None
    assert settings.idle == []


def test_the_command_line_wins_over_the_environment_and_that_over_the_folder(tmp_path: Path):
    for name, text in {"http_port": "1\n", "failure_retry": "2\n", "job_history_limit": "3\n"}.items():
        (tmp_path / name).write_text(text)
    environment = {"CHRONOS_HTTP_PORT": "4", "CHRONOS_FAILURE_RETRY": "5", "CHRONOS_CONFIG_DIR": str(tmp_path)}
    settings = settle({"http_port": 6, "examples": None}, environment)
    assert (settings.http_port, settings.failure_retry, settings.job_history_limit) == (6, 5, 3)
    assert settings.examples is False


def test_an_empty_file_turns_a_flag_on_with_or_without_a_question_mark(tmp_path: Path):
    (tmp_path / "?examples").write_text("")
    (tmp_path / "access_log").write_text("\n")
    (tmp_path / "mesos_checkpoint").write_text("false")
    (tmp_path / ".hidden").write_text("")
    settings = settle({"config_dir": str(tmp_path)}, {})
    assert (settings.examples, settings.access_log, settings.mesos_checkpoint) == (True, True, False)


def test_a_file_that_is_named_like_no_flag_is_refused(tmp_path: Path):
    (tmp_path / "http_prot").write_text("80")
    with pytest.raises(BadSetting, match="http_prot: there is no flag of this name"):
        settle({"config_dir": str(tmp_path)}, {})


def test_a_folder_that_is_none_is_refused(tmp_path: Path):
    with pytest.raises(BadSetting, match="config_dir"):
        settle({}, {"CHRONOS_CONFIG_DIR": str(tmp_path / "absent")})


def test_unknown_variables_are_left_alone():
    settings = settle({}, {"CHRONOS_PORT": "tcp://10.0.0.1:4400", "CHRONOS_SERVICE_HOST": "10.0.0.1"})
    assert settings.values == settle({}, {}).values


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("http_port", "65536"),
        ("http_port", "-1"),
        ("http_port", "8080.0"),
        ("http_port", "1_0"),
        ("http_port", ""),
        ("failure_retry", "-1"),
        ("failure_retry", "99999999999"),
        ("mesos_task_mem", "nan"),
        ("mesos_task_cpu", "inf"),
        ("mesos_task_cpu", "0"),
        ("mesos_task_disk", "much"),
        ("catch_up", "two"),
        ("task_limits", "ulimit"),
        ("log_format", "xml"),
        ("log_level", "INFO"),
        ("http_threads", "1"),
        ("examples", ""),
        ("examples", "perhaps"),
        ("http_realm", 'a"b'),
        ("http_realm", "a\r\nb"),
        ("data_dir", ""),
        ("history_max_age", "0"),
        ("resources", "cpu:4"),
        ("resources", "cpus:four"),
        ("resources", "cpus:nan"),
        ("resources", "cpus:0"),
        ("resources", "cpus:1;cpus:2"),
        ("attributes", "rack"),
        ("attributes", ":r1"),
        ("attributes", "rack:1;rack:2"),
        ("history_url", "not a url"),
        ("history_url", "nosuchdatabase://x"),
    ],
)
def test_a_bad_value_is_refused_and_the_flag_named(flag: str, value: str):
    with pytest.raises(BadSetting) as caught:
        settle({flag: value}, {})
    assert caught.value.flag == flag
    assert f"--{flag}" in str(caught.value)


def test_where_a_bad_value_came_from_is_told():
    with pytest.raises(BadSetting, match=r"--http_port eighty \(from CHRONOS_HTTP_PORT\): must be a whole number"):
        settle({}, {"CHRONOS_HTTP_PORT": "eighty"})


@pytest.mark.parametrize("value", ["", "user", "user:", ":password", ":"])
@pytest.mark.parametrize("variable", ["MESOSPHERE_HTTP_CREDENTIALS", "CHRONOS_HTTP_CREDENTIALS"])
def test_malformed_credentials_do_not_leave_the_server_open(value: str, variable: str):
    with pytest.raises(BadSetting, match="must be user:password") as caught:
        settle({}, {variable: value})
    assert "(not shown)" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "user", "password"),
    [("me:secret", "me", "secret"), ("a:b:c", "a:b", "c"), ("a:b:", "a", "b:"), ("me: p w ", "me", " p w ")],
)
def test_credentials_are_split_at_the_last_colon_that_leaves_both(text: str, user: str, password: str):
    assert settle({}, {"MESOSPHERE_HTTP_CREDENTIALS": text}).credentials == (user, password)


@pytest.mark.parametrize("master", ["zk://u:geheim@zk:2181", "ftp://host", "10.0.0.1:5050/x", "a b", ""])
def test_what_is_no_master_is_refused_with_a_sentence(master: str):
    with pytest.raises(BadSetting, match="must be local, host:port") as caught:
        settle({"master": master}, {})
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "environment", "sentence"),
    [
        ({"ssl_keystore_path": "/nowhere/keys"}, {}, "cannot be read"),
        ({}, {"MESOSPHERE_KEYSTORE_PATH": "/etc/keys"}, "from MESOSPHERE_KEYSTORE_PATH"),
        ({}, {"MESOSPHERE_KEYSTORE_PASS": "geheim"}, "not shown"),
        ({"disable_http": True}, {}, "is of no use without --ssl_keystore_path"),
    ],
)
def test_what_would_be_unsafe_to_ignore_is_refused(given, environment, sentence: str):
    with pytest.raises(BadSetting, match=sentence) as caught:
        settle(given, environment)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "hosts"),
    [
        ("zk1:2181", "zk1:2181"),
        (" zk1:2181, 10.0.0.2:2182 ", "zk1:2181,10.0.0.2:2182"),
        ("zk://zk1:2181,zk2:2181/anything/at/all", "zk1:2181,zk2:2181"),
        ("zk1:2181/mesos", "zk1:2181"),
        ("[::1]:2181", "[::1]:2181"),
    ],
)
def test_zookeepers_servers_are_read_as_chronos_did(given: str, hosts: str):
    zookeeper = settle({"zk_hosts": given, "zk_timeout": 4500, "zk_auth": "me:a:b"}, {}).zookeeper
    assert zookeeper is not None
    assert (zookeeper.hosts, zookeeper.timeout, zookeeper.auth) == (hosts, 4.5, "me:a:b")
    assert "a:b" not in repr(zookeeper)


def test_without_servers_there_is_no_zookeeper():
    assert settle({"zk_path": "/x"}, {}).zookeeper is None


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"zk_hosts": "me:geheim@zk:2181"}, "zk_hosts (not shown): must not hold credentials: they are for --zk_auth"),
        ({"zk_hosts": "zk://me:geheim@zk:2181/x"}, "they are for --zk_auth"),
        ({"zk_hosts": "zk"}, "'zk' is not of the form host:port"),
        ({"zk_hosts": "zk:2181,"}, "'' is not of the form host:port"),
        ({"zk_hosts": "zk:1:2181"}, "not of the form host:port"),
        ({"zk_hosts": "zk:0"}, "no port from 1 to 65535"),
        ({"zk_hosts": "zk:65536"}, "no port from 1 to 65535"),
        ({"zk_hosts": "zk:port"}, "not of the form host:port"),
        ({"zk_hosts": "zk://"}, "not of the form host:port"),
        ({"zk_path": "chronos"}, "zk_path chronos: must be a path below /"),
        ({"zk_path": "/"}, "must be a path below /"),
        ({"zk_path": "/a//b"}, "with no empty part"),
        ({"zk_path": "/a/../b"}, "must not contain . or .."),
        ({"zk_path": "/zookeeper/x"}, "nor lie below /zookeeper"),
        ({"zk_timeout": 5}, "must be at least 1000"),
        ({"zk_hosts": "zk:1", "http_threads": 3}, "http_threads 3: must be 4 at least with --zk_hosts"),
        ({"zk_auth": "geheim"}, "zk_auth (not shown): must be user:password"),
        ({"zk_auth": ":geheim"}, "must be user:password"),
        ({"zk_ca_file": "/ca.pem"}, "zk_ca_file /ca.pem: is of no use without --zk_tls"),
        ({"zk_tls": True, "zk_ca_file": "/no/such/file"}, "zk_ca_file /no/such/file: cannot be read"),
        ({"zk_tls": True, "zk_cert_file": "/c.pem"}, "zk_cert_file /c.pem: needs the other file of the pair"),
        ({"zk_tls": True, "zk_key_file": "/k.pem"}, "needs the other file of the pair"),
    ],
)
def test_what_does_not_lead_to_zookeeper_is_refused(given, sentence: str):
    with pytest.raises(BadSetting, match=re.escape(sentence)) as caught:
        settle(given, {})
    assert "geheim" not in str(caught.value)


def test_a_file_that_holds_no_certificate_for_zookeeper(tmp_path: Path):
    (tmp_path / "ca.pem").write_text("nothing")
    with pytest.raises(BadSetting, match=r"zk_ca_file .*ca\.pem: no certificate can be read"):
        settle({"zk_hosts": "zk:2181", "zk_tls": True, "zk_ca_file": str(tmp_path / "ca.pem")}, {})


def test_flags_without_effect_are_named_when_given():
    settings = settle({"cassandra_port": 1, "schedule_horizon": 5, "http_port": 1}, {"CHRONOS_ASSETS_PATH": "/x"})
    assert [flag.name for flag in settings.idle] == ["assets_path", "cassandra_port", "schedule_horizon"]


def test_resources_and_attributes_are_read():
    settings = settle({"resources": "cpus:4; mem:8192.5;", "attributes": "rack:r1; dc:x:y"}, {})
    assert settings.machine[0].amounts == {("cpus", "*"): 4.0, ("mem", "*"): 8192.5}
    assert settings.attribute_map == {"rack": "r1", "dc": "x:y"}


@pytest.mark.parametrize(
    ("address", "own"),
    [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("10.1.2.3", "10.1.2.3"), ("fe80::1", "[fe80::1]"), ("", "127.0.0.1")],
)
def test_the_server_finds_itself(address: str, own: str):
    assert settle({"http_address": address}, {}).own_address == own


def test_the_page_about_configuration_is_up_to_date():
    assert PAGE.read_text("utf-8") == document(), "run: python -m scripts.configuration_doc"


def test_the_sample_file_is_made_from_the_table():
    assert SAMPLE.read_text("utf-8") == sample(), "run: python -m scripts.configuration_doc"


def test_the_sample_file_says_what_holds_without_it(tmp_path):
    """An empty text is no credentials that could be meant, and so refused: all else may be uncommented as it stands."""
    lines = [line.removeprefix("#") for line in sample().splitlines() if not line.startswith("# ")]
    text = "\n".join(line for line in lines if not line.startswith("http_credentials"))
    file = tmp_path / "chronos.toml"
    file.write_text(text)
    settings = settle({"config": str(file)}, {})
    assert dict(settings.values) == {**settle({}, {}).values, "config": str(file)}
    assert len(settings.sources) > 60


def test_flags_win_over_the_environment_and_that_over_files(tmp_path):
    file, folder = tmp_path / "chronos.toml", tmp_path / "conf"
    folder.mkdir()
    (folder / "http_port").write_text("1")
    (folder / "zk_timeout").write_text("2000")
    file.write_text('http_port = 2\nexamples = true\nmesos_task_cpu = 0.5\n[quotas."channel=news"]\ncpus = 3\n')
    given = {"config": str(file), "config_dir": str(folder)}
    settings = settle(given, {})
    assert (settings.http_port, settings.zk_timeout, settings.examples, settings.mesos_task_cpu) == (2, 2000, True, 0.5)
    assert settings.quotas_text == '{"channel=news": {"cpus": 3}}'
    assert settings.sources["http_port"] == str(file)
    environment = {"CHRONOS_HTTP_PORT": "3", "CHRONOS_CONFIG": str(file)}
    assert settle({}, environment).http_port == 3
    assert settle({"http_port": 4}, environment).http_port == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("http_prot = 1", "http_prot"),
        ("http_port = [1]", r"http_port.*\[1\]"),
        ("http_port = ", "TOML"),
        ("http_port = 99999", "http_port 99999.*chronos.toml"),
        ("http_port = 1\nhttp_port = 2", "TOML"),
        ('config = "x"', "config.*not in a file"),
        ("quotas = 1979-05-27", "quotas"),
        ("[quotas.a]\ncpus = 1979-05-27", "quotas"),
    ],
)
def test_a_file_of_settings_that_cannot_be_used(tmp_path, text, message):
    file = tmp_path / "chronos.toml"
    file.write_text(text)
    with pytest.raises(BadSetting, match=message):
        settle({"config": str(file)}, {})


def test_a_file_of_settings_that_is_not_there(tmp_path):
    with pytest.raises(BadSetting, match=r"config .*chronos\.toml"):
        settle({"config": str(tmp_path / "chronos.toml")}, {})
