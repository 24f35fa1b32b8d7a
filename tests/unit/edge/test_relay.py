"""The strike is locked at start, on every error and at exit, and is released only in pulses."""

from __future__ import annotations

import atexit
import signal
import subprocess
import sys
import textwrap
import threading
import time
from types import ModuleType

import pytest

from edge import gpio
from edge import relay as relay_module
from edge.config import RelayConfig
from edge.errors import ConfigError, RelayError
from edge.gpio import PinDriver
from edge.relay import HARD_CAP_S, GpioRelay, Pulse, Relay, open_relay

SLACK_S = 1.0  # these machines are shared: a timer may be late, never early


def wait_until(holds, timeout_s=5.0):
    """Wait for *holds* to be true; fail if it never is."""
    deadline_s = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline_s, "it did not happen"
        time.sleep(0.005)


def levels(pin):
    """Return the levels that a mock pin went through."""
    return [state.state for state in pin.states]


class Board:
    """A mock GPIO chip whose pin can be made to fail."""

    def __init__(self):
        from gpiozero import GPIOZeroError
        from gpiozero.pins.mock import MockFactory, MockPin

        board = self
        self.refuses = lambda level: False
        self.pins = []

        class Pin(MockPin):
            def __init__(self, factory, info):
                super().__init__(factory, info)
                board.pins.append(self)

            def _set_state(self, value):
                if board.refuses(value):
                    raise OSError(5, "Input/output error")
                super()._set_state(value)

        self.driver = PinDriver(MockFactory(pin_class=Pin), (GPIOZeroError, OSError))

    @property
    def pin(self):
        return self.pins[-1]


@pytest.fixture
def board():
    return Board()


@pytest.fixture
def relay(board):
    opened = GpioRelay(board.driver, pin=17, active_high=True)
    yield opened
    board.refuses = lambda level: False
    opened.close()


def test_relay_is_locked_at_start_and_drives_its_pin(relay, board):
    assert isinstance(relay, Relay)
    assert not relay.released
    assert board.pin.function == "output"
    assert levels(board.pin) == [False]


def test_a_pulse_ends_by_itself_after_its_duration(relay, board):
    relay.release(0.3)
    assert relay.released
    wait_until(lambda: not relay.released)
    assert levels(board.pin) == [False, True, False]
    assert 0.2 < board.pin.states[-1].timestamp < 0.3 + SLACK_S


def test_an_active_low_strike_is_released_by_a_low_level_only(board):
    """The pin is an input at first (low: it floats), then locked, released, locked."""
    relay = GpioRelay(board.driver, pin=17, active_high=False)
    assert levels(board.pin) == [False, True]
    relay.release(0.05)
    wait_until(lambda: not relay.released)
    assert levels(board.pin) == [False, True, False, True]
    relay.close()


def test_a_second_release_prolongs_the_pulse_without_a_gap(relay, board):
    relay.release(5.0)
    relay.release(7.0)
    assert relay._pulse.ends_at_s - relay._pulse.began_at_s >= 7.0
    assert levels(board.pin) == [False, True]


def test_the_timer_keeps_to_the_prolonged_end(relay, board):
    relay.release(0.05)
    relay.release(0.6)
    time.sleep(0.3)
    assert relay.released
    wait_until(lambda: not relay.released)


def test_a_pulse_never_grows_past_the_hard_cap_from_its_beginning():
    pulse = Pulse(began_at_s=100.0, ends_at_s=103.0)
    assert pulse.extended(102.0, 3.0) == Pulse(100.0, 105.0)
    assert pulse.extended(102.0, 0.5) == Pulse(100.0, 103.0)
    assert pulse.extended(102.0, HARD_CAP_S) == Pulse(100.0, 100.0 + HARD_CAP_S)


def test_releases_without_end_are_cut_by_the_hard_cap(relay, board, monkeypatch):
    """Each pulse ends at the cap, even while the next release is being asked for."""
    monkeypatch.setattr(relay_module, "HARD_CAP_S", 0.2)
    stop_at_s = time.monotonic() + 1.0
    while time.monotonic() < stop_at_s:
        relay.release(0.15)
        time.sleep(0.01)
    ends = [state.timestamp for state in board.pin.states[2::2]]
    assert len(ends) > 1
    assert max(ends) < 0.8


@pytest.mark.parametrize("duration_s", [0.0, -1.0, HARD_CAP_S + 0.001, 1e9, float("nan")])
def test_a_duration_outside_the_bounds_is_refused(relay, board, duration_s):
    with pytest.raises(RelayError, match="at most 10 s"):
        relay.release(duration_s)
    assert levels(board.pin) == [False]
    assert not relay.released


def test_the_longest_configurable_release_is_within_the_hard_cap():
    described = {each.name: each for each in RelayConfig.__dataclass_fields__.values()}
    assert described["release_s"].metadata["most"] <= HARD_CAP_S


def test_lock_ends_a_pulse_at_once_and_may_be_repeated(relay, board):
    relay.release(5.0)
    relay.lock()
    relay.lock()
    assert not relay.released
    assert levels(board.pin) == [False, True, False]
    assert board.pin.states[-1].timestamp < SLACK_S


def test_a_pulse_after_a_lock_has_its_own_full_length(relay, board):
    """The time before the lock does not count against the hard cap."""
    relay.release(5.0)
    first = relay._pulse
    relay.lock()
    relay.release(5.0)
    assert relay._pulse.began_at_s > first.began_at_s
    assert levels(board.pin) == [False, True, False, True]


def test_close_locks_gives_the_pin_back_and_may_be_repeated(relay, board):
    relay.release(5.0)
    relay.close()
    relay.close()
    relay.lock()
    assert not relay.released
    assert levels(board.pin) == [False, True, False]
    assert board.pin.function == "input"
    assert not relay._timer.is_alive()
    with pytest.raises(RelayError, match="closed"):
        relay.release(1.0)


def test_a_pin_that_refuses_to_release_is_locked_and_reported(relay, board):
    board.refuses = lambda level: level is True
    with pytest.raises(RelayError, match=r"GPIO17 cannot be driven.*Input/output error"):
        relay.release(1.0)
    assert not relay.released
    assert levels(board.pin) == [False]


def test_a_strike_that_cannot_be_locked_is_tried_again_until_it_is(relay, board, caplog):
    """It counts as released until then."""
    relay.release(0.05)
    board.refuses = lambda level: level is False
    wait_until(lambda: "cannot be locked" in caplog.text)
    assert relay.released
    with pytest.raises(RelayError, match="cannot be locked"):
        relay.lock()
    board.refuses = lambda level: False
    wait_until(lambda: not relay.released)
    assert levels(board.pin) == [False, True, False]


def test_a_pin_that_is_taken_is_reported(relay, board):
    with pytest.raises(RelayError, match=r"GPIO17 cannot be driven.*in use"):
        GpioRelay(PinDriver(board.driver.factory, board.driver.errors), pin=17, active_high=True)


def test_releases_and_locks_from_many_threads_leave_the_strike_locked(relay, board):
    acts = [lambda: relay.release(0.05), relay.lock] * 8
    threads = [threading.Thread(target=act) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: not relay.released)
    assert levels(board.pin)[-1] is False


def test_an_open_relay_is_closed_at_exit_and_a_closed_one_is_forgotten(board, monkeypatch):
    kept = []
    monkeypatch.setattr(atexit, "register", kept.append)
    monkeypatch.setattr(atexit, "unregister", kept.remove)
    relay = GpioRelay(board.driver, pin=17, active_high=True)
    assert kept == [relay.close]
    relay.close()
    assert kept == []


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("pass", 0),
        ("raise ValueError('a stage broke')", 1),
        ("signal.signal(15, lambda *_: sys.exit(143)); os.kill(os.getpid(), 15)", 143),
        ("os.kill(os.getpid(), 2)", -signal.SIGINT),
    ],
)
def test_the_strike_is_locked_whichever_way_the_program_ends(ending, code):
    """A program that dies during a pulse locks on its way out, long before the pulse's end."""
    program = f"""
        import atexit, os, signal, sys
        from edge.config import RelayConfig
        from edge.relay import open_relay
        def tell():  # runs last; each state's time is told from the one before
            print([s.state for s in pin.states], pin.states[-1].timestamp < 9, flush=True)
        atexit.register(tell)
        relay = open_relay(RelayConfig(pin_factory="mock"))
        pin = relay._device.pin
        relay.release(10.0)
        {ending}
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=30, check=False,
        # A shell ignores Ctrl-C on behalf of what it runs in the background, tests included.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert ended.stdout.strip() == "[False, True, False] True", ended.stderr
    assert ended.returncode == code


def test_the_mock_factory_says_that_it_drives_nothing(caplog):
    relay = open_relay(RelayConfig(pin_factory="mock", active_high=False))
    assert "no strike is driven" in caplog.text
    assert not relay.released
    relay.close()


def test_an_unknown_pin_factory_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError, match="'pigpio'; expected one of: lgpio, mock, native"):
        open_relay(RelayConfig(pin_factory="pigpio"))


def test_a_pin_that_the_board_lacks_is_refused_with_its_number():
    with pytest.raises(RelayError, match="GPIO53 cannot be driven"):
        open_relay(RelayConfig(pin_factory="mock", pin=53))


class StandInLgpio(ModuleType):
    """The part of lgpio that gpiozero uses for an output; records what each line is told."""

    class error(Exception):  # noqa: N801, N818 - lgpio's own name
        pass

    SET_PULL_NONE, SET_PULL_UP, SET_PULL_DOWN = 128, 32, 64
    RISING_EDGE, FALLING_EDGE, BOTH_EDGES = 1, 2, 3

    def __init__(self):
        super().__init__("lgpio")
        self.told = []
        self.output = False
        self.refuses = ""

    def gpiochip_open(self, chip):
        if self.refuses == "open":
            raise self.error("can not open gpiochip")
        return 0

    def gpiochip_close(self, handle):
        self.told.append("chip closed")

    def gpio_claim_input(self, handle, gpio, flags=0):
        self.output = False
        self.told.append((gpio, "input"))

    def gpio_claim_output(self, handle, gpio, level=0, flags=0):
        if self.refuses == "claim":
            raise self.error("GPIO busy")
        self.output = True
        self.told.append((gpio, "output", level))

    def gpio_write(self, handle, gpio, level):
        self.told.append((gpio, "level", int(level)))

    def gpio_read(self, handle, gpio):
        return 0

    def gpio_get_mode(self, handle, gpio):
        return 2 * self.output


@pytest.fixture
def lgpio(monkeypatch):
    """A stand-in lgpio on a stand-in Raspberry Pi 3B."""
    from gpiozero.pins.local import LocalPiFactory

    module = StandInLgpio()
    monkeypatch.setitem(sys.modules, "lgpio", module)
    monkeypatch.delitem(sys.modules, "gpiozero.pins.lgpio", raising=False)
    monkeypatch.setattr(LocalPiFactory, "_get_revision", lambda _: 0xA02082)
    yield module
    LocalPiFactory.pins.clear()
    sys.modules.pop("gpiozero.pins.lgpio", None)


@pytest.mark.parametrize("active_high", [True, False])
def test_an_lgpio_pin_becomes_an_output_at_the_locked_level(lgpio, active_high):
    """gpiozero's own pin starts low and is corrected later: an active-low strike would blip."""
    released, locked = int(active_high), int(not active_high)
    relay = open_relay(RelayConfig(pin_factory="lgpio", active_high=active_high))
    assert lgpio.told == [(17, "input"), (17, "output", locked)]
    relay.release(5.0)
    relay.lock()
    relay.close()
    assert lgpio.told == [
        (17, "input"), (17, "output", locked),
        (17, "level", released), (17, "level", locked),
        (17, "level", locked), (17, "input"), (17, "input"), "chip closed",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("refuses", "says"),
    [("open", "GPIO cannot be opened: .*gpiochip"), ("claim", "GPIO17 cannot be .*GPIO busy")],
)
def test_what_lgpio_raises_becomes_a_relay_error(lgpio, refuses, says):
    lgpio.refuses = refuses
    with pytest.raises(RelayError, match=says):
        open_relay(RelayConfig(pin_factory="lgpio"))


@pytest.mark.parametrize("module", [None, ModuleType("lgpio")])
def test_a_missing_or_empty_lgpio_is_an_error_and_no_other_factory_is_tried(monkeypatch, module):
    monkeypatch.setitem(sys.modules, "lgpio", module)
    monkeypatch.delitem(sys.modules, "gpiozero.pins.lgpio", raising=False)
    with pytest.raises(RelayError, match="apt install python3-lgpio"):
        open_relay(RelayConfig(pin_factory="lgpio"))


def test_an_lgpio_that_cannot_write_its_pipe_is_an_error_that_names_the_variable(monkeypatch):
    def refuse(_name):
        raise FileNotFoundError(2, "No such file or directory", ".lgd-nfy-3")

    monkeypatch.setattr(gpio.importlib, "import_module", refuse)
    with pytest.raises(RelayError, match="LG_WD"):
        open_relay(RelayConfig(pin_factory="lgpio"))


@pytest.mark.parametrize("active_high", [True, False])
def test_a_native_pin_has_the_locked_level_before_it_becomes_an_output(monkeypatch, active_high):
    """Written to the set or clear register first, then to the function register."""
    from gpiozero.pins import native
    from gpiozero.pins.local import LocalPiFactory

    writes = []

    class Memory(native.GPIOMemory):
        def __init__(self, soc):
            self.registers = {}

        def __getitem__(self, index):
            return self.registers.get(index, 0)

        def __setitem__(self, index, value):
            self.registers[index] = value
            writes.append((index, value))

        def close(self):
            pass

    monkeypatch.setattr(native, "GPIOMemory", Memory)
    monkeypatch.setattr(LocalPiFactory, "_get_revision", lambda _: 0xA02082)
    relay = open_relay(RelayConfig(pin_factory="native", active_high=active_high))
    level = Memory.GPCLR_OFFSET if active_high else Memory.GPSET_OFFSET
    assert writes[-2:] == [(level, 1 << 17), (Memory.GPFSEL_OFFSET + 1, 1 << 21)]
    assert [write for write in writes if write[0] == Memory.GPFSEL_OFFSET + 1] == [
        (Memory.GPFSEL_OFFSET + 1, 0), (Memory.GPFSEL_OFFSET + 1, 1 << 21),
    ]  # fmt: skip
    relay.close()
    LocalPiFactory.pins.clear()


def test_a_machine_that_is_no_raspberry_pi_is_told_so():
    """This one runs on the real native factory of the machine that runs the tests."""
    from gpiozero import PinUnknownPi
    from gpiozero.pins.local import get_pi_revision

    try:
        get_pi_revision()
    except PinUnknownPi:
        with pytest.raises(RelayError, match="needs a Raspberry Pi"):
            open_relay(RelayConfig(pin_factory="native"))
    else:
        pytest.skip("this is a Raspberry Pi")
