"""The study's networks: counts, cuts, tops, frozen statistics and bad settings."""

import copy
import weakref

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fringewatch.errors import ConfigError
from fringewatch.networks.layers import BatchNorm2d
from fringewatch.networks.listing import NetworksConfig, NetworksListing, count_study, run
from fringewatch.networks.registry import STUDY, build, count_parameters, create, list_networks
from fringewatch.networks.tops import PoolingTop

pytestmark = pytest.mark.train

# The study's table: total, trainable, frozen and statistics, last frozen layer.
TABLE = {
    "AlexNet": (62_378_344, 62_378_344, 0, None),
    "VGG16": (15_527_410, 15_526_606, 804, None),
    "VGG16 pretrained": (15_527_410, 12_610_958, 2_916_452, "block4_conv1"),
    "InceptionV3": (24_188_370, 24_153_134, 35_236, None),
    "InceptionV3 pretrained": (24_188_370, 13_499_662, 10_688_708, "mixed8"),
    "ResNet50": (25_973_298, 25_919_374, 53_924, None),
    "ResNet50 pretrained": (43_700_522, 23_527_558, 20_172_964, "conv5_block3_1_relu"),
    "DenseNet121": (8_374_514, 8_290_062, 84_452, None),
    "DenseNet121 pretrained": (8_374_514, 7_278_606, 1_095_908, "conv3_block9_concat"),
}


def small(name="resnet50", **options):
    """A network with a top small enough to train a step."""
    torch.manual_seed(0)
    return create(name, dense=(8, 8), hidden=(8,), input_size_px=96, **options)


def patches(count=3, size=96):
    return torch.from_numpy(np.random.default_rng(0).uniform(-1, 1, (count, 3, size, size)).astype(np.float32))


# Counts


def test_all_nine_rows_are_the_study_s():
    assert [row.title for row in STUDY] == list(TABLE)
    with torch.device("meta"):
        for row in STUDY:
            network = build(row.network)
            assert count_parameters(network) == TABLE[row.title][:3], row.title
            if row.last_frozen is not None:
                frozen = network.backbone.layers_before(row.network.freeze)
                assert frozen[-1] == row.last_frozen == TABLE[row.title][3]


def test_the_listing_prints_the_counts():
    listing = run(NetworksConfig())
    text = listing.describe(width=80)
    for title, (total, trainable, rest, _) in TABLE.items():
        line = next(line for line in text.splitlines() if line.strip().startswith(f"{title}  "))
        assert line.split()[-4:] == [f"{total:,}", f"{trainable:,}", f"{rest:,}", "equal"]
    assert max(map(len, text.splitlines())) <= 80
    assert listing.exit_code == 0


def test_the_listing_says_when_a_count_differs():
    first, *others = count_study()
    wrong = first._replace(parameters=first.parameters._replace(total=1))
    listing = NetworksListing((wrong, *others))
    assert "DIFFERS" in listing.describe()
    assert listing.exit_code == 1


def test_the_listing_numbers_layers_as_freeze_counts_them():
    listing = run(NetworksConfig(network="vgg16"))
    layer = next(layer for layer in listing.layers if layer.name == "block4_conv1")
    assert layer.number == 12
    assert (layer.channels, layer.height, layer.width) == (512, 28, 28)
    assert layer.parameters.total == 3 * 3 * 256 * 512 + 512
    assert "14,714,688 parameters" in listing.describe()


# Form


@pytest.mark.parametrize("name", list_networks())
@pytest.mark.parametrize(("height", "width"), [(96, 203), (227, 131)])
def test_features_have_the_size_that_is_announced(name, height, width):
    with torch.device("meta"):
        backbone = create(name).backbone
        features = backbone(torch.empty(1, 3, height, width))
    assert features.shape == (1, backbone.channels, *backbone.feature_size(height, width))


@pytest.mark.parametrize("row", STUDY, ids=lambda row: row.title)
def test_logits_have_a_column_per_class(row):
    with torch.device("meta"):
        network = build(row.network)
        size = network.input_size_px
        logits = network(torch.empty(2, 3, size, size))
    assert logits.shape == (2, 1000 if row.title == "AlexNet" else 2)


def test_alexnet_normalises_responses_by_the_paper_s_formula():
    norm = create("alexnet").backbone.norm1
    x = 30 * torch.rand(1, 7, 2, 2)
    expected = torch.empty_like(x)
    for channel in range(7):
        near = x[:, max(0, channel - 2) : channel + 3]
        expected[:, channel] = x[:, channel] / (2 + 1e-4 * near.square().sum(dim=1)) ** 0.75
    torch.testing.assert_close(norm(x), expected)


def test_start_values_are_those_of_keras_and_repeatable():
    first, second = small(), small()
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    kernel = first.backbone.conv4_block1_2_conv.weight
    bound = (6 / (9 * (256 + 256))) ** 0.5
    assert 0.99 * bound < kernel.abs().max().item() <= bound
    assert kernel.std().item() == pytest.approx(bound / 3**0.5, rel=0.01)
    assert not first.backbone.conv4_block1_2_conv.bias.any()


def test_a_norm_without_scale_has_none_to_train_or_save():
    norm = BatchNorm2d(4, scale=False)
    assert set(norm.state_dict()) == {"bias", "running_mean", "running_var", "num_batches_tracked"}
    x = torch.randn(8, 4, 3, 3)
    torch.testing.assert_close(copy.deepcopy(norm)(x), BatchNorm2d(4)(x))


def test_without_gradients_maps_are_freed_once_read():
    """In VGG16 a layer's input and output are alive at a time, whatever its depth."""
    backbone = create("vgg16").backbone.eval()
    alive, most = set(), 0

    def keep(_module, _inputs, output):
        nonlocal most
        alive.add(id(output))
        weakref.finalize(output, alive.discard, id(output))
        most = max(most, len(alive))

    for module in backbone.children():
        module.register_forward_hook(keep)
    with torch.no_grad():
        backbone(patches(1, 32))
    assert most <= 2


# Tops


def test_the_penalty_is_of_the_classifier_s_first_kernel_alone():
    network = small(l2=0.01)
    network.penalty().backward()
    kernel = network.top.hidden_1.weight
    torch.testing.assert_close(network.penalty(), 0.01 * (kernel**2).sum())
    assert [name for name, each in network.named_parameters() if each.grad is not None] == ["top.hidden_1.weight"]
    torch.testing.assert_close(kernel.grad, 0.02 * kernel.detach())


@pytest.mark.parametrize("network", [lambda: small(l2=0), lambda: create("alexnet", input_size_px=67)])
def test_there_may_be_no_penalty(network):
    assert network().penalty() is None


@pytest.mark.parametrize("activation", ["relu", "tanh", "sigmoid"])
def test_the_top_is_the_study_s_chain(activation):
    """Against the chain written out, in evaluation mode, with norms that do something."""
    torch.manual_seed(0)
    top = PoolingTop(5, dense=(7, 6), hidden=(4, 3), activation=activation).eval()
    for module in top.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(module.running_mean)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    features = torch.randn(2, 5, 3, 4)
    act = getattr(torch, activation)

    def dense(layer, x):
        return x @ layer.weight.T + layer.bias

    def norm(layer, x):
        return (x - layer.running_mean) / torch.sqrt(layer.running_var + 1e-3) * layer.weight + layer.bias

    x = torch.relu(dense(top.dense_1, features.mean(dim=(2, 3))))
    x = torch.softmax(dense(top.dense_2, x), dim=1)
    x = act(norm(top.hidden_1_bn, dense(top.hidden_1, x)))
    x = act(norm(top.hidden_2_bn, dense(top.hidden_2, x)))
    torch.testing.assert_close(top(features), norm(top.output_bn, dense(top.output, x)))


def test_dropout_drops_the_share_asked_for():
    top = PoolingTop(5, hidden=(4000,), dropout=0.2)
    dropped = (top.dropout(torch.ones(1, 4000)) == 0).float().mean().item()
    assert dropped == pytest.approx(0.2, abs=0.03)


# Freezing


def test_a_name_and_its_number_freeze_alike():
    with torch.device("meta"):
        by_name, by_number = create("inception_v3", freeze="mixed8"), create("inception_v3", freeze=249)
    assert count_parameters(by_name) == count_parameters(by_number)
    by_name.freeze(0)
    assert count_parameters(by_name) == TABLE["InceptionV3"][:3]


@pytest.mark.parametrize("norms", ["stored", "batch", "adapt"])
def test_frozen_layers_keep_what_they_should_in_a_training_step(norms):
    network = small(freeze="conv2_block1_out", frozen_norm=norms).train()
    network.eval().train()  # the mode of frozen norms survives switching, as Lightning does every epoch
    before = copy.deepcopy(network.state_dict())
    optimiser = torch.optim.SGD([each for each in network.parameters() if each.requires_grad], lr=0.1)
    torch.nn.functional.cross_entropy(network(patches()), torch.tensor([0, 1, 1])).backward()
    optimiser.step()
    after = network.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    frozen = network.backbone.layers_before("conv2_block1_out")
    in_frozen = {name for name in changed if name.split(".")[1] in frozen}
    statistics = {
        name
        for name in before
        if name.split(".")[1] in frozen
        and name.rpartition(".")[2] in {"running_mean", "running_var", "num_batches_tracked"}
    }
    assert in_frozen == (statistics if norms == "adapt" else set())
    assert {"backbone.conv5_block3_3_conv.weight", "backbone.conv2_block2_1_bn.running_mean"} <= changed


@pytest.mark.parametrize("norms", ["stored", "batch", "adapt"])
def test_frozen_norms_see_the_batch_only_where_asked(norms):
    norm = BatchNorm2d(3)
    torch.nn.init.constant_(norm.running_mean, 0.5)
    norm.freeze(norms)
    x = 3 * torch.randn(4, 3, 5, 5)
    stored = (x - 0.5) / (1 + 1e-3) ** 0.5
    variance, mean = torch.var_mean(x, dim=(0, 2, 3), keepdim=True, correction=0)
    torch.testing.assert_close(norm.eval()(x), stored)
    torch.testing.assert_close(norm.train()(x), stored if norms == "stored" else (x - mean) / (variance + 1e-3) ** 0.5)


def test_a_number_of_layers_may_come_as_text():
    """As it does from a command line."""
    with torch.device("meta"):
        assert count_parameters(create("vgg16", freeze="12")) == TABLE["VGG16 pretrained"][:3]


# Bad settings


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"name": "vgg19"}, "name = 'vgg19'.*'vgg16'"),
        ({"name": "vgg16", "dropot": 0.3}, "unknown key 'dropot'; did you mean 'dropout'"),
        ({"name": "vgg16", "dropout": 1.0}, "dropout = 1.0"),
        ({"name": "vgg16", "top": "original"}, "is AlexNet's; VGG16 takes 'pooling', 'spp' or 'flatten'"),
        ({"name": "vgg16", "freeze": "block4_conv9"}, "no such layer; did you mean 'block4_conv"),
        ({"name": "vgg16", "freeze": "zzz"}, "expected a name from 'block1_conv1' to 'block5_pool'"),
        ({"name": "vgg16", "freeze": 20}, "freeze = 20: VGG16 has 19 layers; expected 0 to 19"),
        ({"name": "inception_v3", "input_size_px": 64}, "64 x 64 pixels: too small for InceptionV3, gone at layer"),
    ],
)
def test_wrong_options_are_named(options, text):
    with torch.device("meta"), pytest.raises(ConfigError, match=text):
        create(**options)
