"""What is replayed and what is not; the recording itself needs a GPU."""

import pytest

torch = pytest.importorskip("torch")

from fringewatch.training.cuda_graphs import recorded

pytestmark = pytest.mark.train


@pytest.fixture
def network():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.BatchNorm2d(2)).train()


def test_only_batches_of_the_recorded_size_are_replayed_and_only_in_training(network, monkeypatch):
    def record(module, examples):
        module(*examples)  # warming up moves the statistics of batch norms
        module.forward = lambda batch: "replayed"

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", record)
    before = network[1].running_mean.clone()
    call = recorded(network, torch.rand(4, 3, 8, 8), dtype=None)
    torch.testing.assert_close(network[1].running_mean, before)
    assert call(torch.rand(4, 3, 8, 8)) == "replayed"
    assert call(torch.rand(3, 3, 8, 8)).shape == (3, 2, 6, 6)
    with torch.inference_mode():
        assert call(torch.rand(4, 3, 8, 8)).shape == (4, 2, 6, 6)
    network.eval()
    assert call(torch.rand(4, 3, 8, 8)).shape == (4, 2, 6, 6)
    # The network itself is what it was.
    assert network(torch.rand(4, 3, 8, 8)).shape == (4, 2, 6, 6)


def test_what_cannot_be_recorded_runs_as_it_is_and_is_told(network, monkeypatch, capsys):
    def fail(module, examples):
        module(*examples)
        raise RuntimeError("operation not permitted when stream is capturing\nand more")

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", fail)
    before = network[1].running_mean.clone()
    call = recorded(network, torch.rand(4, 3, 8, 8), dtype=None)
    torch.testing.assert_close(network[1].running_mean, before)
    assert call(torch.rand(4, 3, 8, 8)).shape == (4, 2, 6, 6)
    assert "could not be recorded as a CUDA graph" in capsys.readouterr().err
