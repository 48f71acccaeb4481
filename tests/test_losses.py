"""Losses against NumPy references in float64, at ordinary and at extreme inputs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fer_lib.losses import LOSSES, CenterTerm, IslandTerm, create_loss

C, D = 7, 5
GOLDEN = Path(__file__).parent / "golden"


def log_softmax(z):
    z = z - z.max(1, keepdims=True)
    return z - np.log(np.exp(z).sum(1, keepdims=True))


def log_rest(z):
    """ln(1 - p) from the sum over the other classes."""
    columns = [np.delete(z, i, 1) for i in range(z.shape[1])]
    tops = [c.max(1, keepdims=True) for c in columns]
    logs = [t[:, 0] + np.log(np.exp(c - t).sum(1)) for c, t in zip(columns, tops, strict=True)]
    top = z.max(1)
    return np.stack(logs, 1) - (top + np.log(np.exp(z - top[:, None]).sum(1)))[:, None]


def reference(name, z, y, x, centers, smoothing=0.0, weights=None, alpha=0.25, gamma=2.0):
    """The loss of one-hot or soft rows y, written down from its formula."""
    y = (1 - smoothing) * y + smoothing / C
    log_p, log_q = log_softmax(z), log_rest(z)
    w = np.ones(C) if weights is None else np.asarray(weights)
    if name == "focal":
        return -(w * alpha * (1 - np.exp(log_p)) ** gamma * y * log_p).sum() / len(z)
    if name == "focal_li":
        positive = alpha * (1 - np.exp(log_p)) ** gamma * y * log_p
        negative = (1 - alpha) * np.exp(log_p) ** gamma * (1 - y) * log_q
        return -(w * (positive + negative)).sum() / len(z)
    cross_entropy = -(y * log_p).sum() / len(z)
    if name == "cross_entropy":
        return cross_entropy
    distance = sum(y[n, c] * np.sum((x[n] - centers[c]) ** 2) / 2 for n in range(len(x)) for c in range(C)) / len(x)
    if name == "center":
        return cross_entropy + 0.003 * distance
    pairs = 0.0
    for j in range(C):
        for k in range(C):
            if j != k:
                lengths = np.linalg.norm(centers[j]) * np.linalg.norm(centers[k])
                pairs += (centers[j] @ centers[k] / lengths if lengths else 0.0) + 1
    weight, lambda1 = {"island": (0.01, 10.0), "joint": (1.0, 0.1)}[name]
    return cross_entropy + weight * (distance + lambda1 * pairs)


def example(seed=0, batch=6, scale=2.0):
    random = np.random.default_rng(seed)
    logits = scale * random.standard_normal((batch, C))
    labels = random.integers(0, C, batch)
    return logits, labels, random.standard_normal((batch, D)), random.standard_normal((C, D))


def build(name, centers=None, **options):
    loss = create_loss(name, C, D if LOSSES[name][1] else None, **options).double()
    if centers is not None and LOSSES[name][1]:
        loss.term.centers.data.copy_(torch.from_numpy(centers))
    return loss


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_equals_its_formula(name, soft):
    for seed in range(5):
        logits, labels, features, centers = example(seed)
        rows = np.random.default_rng(seed).dirichlet(np.ones(C), len(labels)) if soft else np.eye(C)[labels]
        targets = torch.from_numpy(rows if soft else labels)
        loss = build(name, centers)(torch.from_numpy(logits), targets, torch.from_numpy(features))
        assert loss.item() == pytest.approx(reference(name, logits, rows, features, centers), rel=1e-10)


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "focal_li"])
def test_label_smoothing_equals_its_formula(name):
    logits, labels, _, _ = example()
    loss = build(name, label_smoothing=0.1)(torch.from_numpy(logits), torch.from_numpy(labels))
    expected = reference(name, logits, np.eye(C)[labels], None, None, smoothing=0.1)
    assert loss.item() == pytest.approx(expected, rel=1e-10)


def test_class_weights_give_the_weighted_mean():
    logits, labels, _, _ = example()
    weights = np.arange(1.0, C + 1)
    loss = build("cross_entropy", class_weights=weights.tolist())(torch.from_numpy(logits), torch.from_numpy(labels))
    own = -log_softmax(logits)[np.arange(len(labels)), labels]
    assert loss.item() == pytest.approx(np.average(own, weights=weights[labels]), rel=1e-10)
    loss = build("focal", class_weights=weights.tolist())(torch.from_numpy(logits), torch.from_numpy(labels))
    expected = reference("focal", logits, np.eye(C)[labels], None, None, weights=weights)
    assert loss.item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0, 5.0])
@pytest.mark.parametrize("name", ["focal", "focal_li"])
def test_focal_gradients_are_those_of_the_value(name, gamma):
    logits, labels, _, _ = example(3)
    loss = build(name, gamma=gamma)
    logits = torch.from_numpy(logits).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(z, torch.from_numpy(labels)), logits)


@pytest.mark.parametrize("name", ["center", "island", "joint"])
def test_center_loss_gradients_are_those_of_the_value(name):
    logits, labels, features, centers = example(4)
    loss = build(name, centers, center_update="gradient")

    def value(z, x, c):
        return torch.func.functional_call(loss, {"term.centers": c}, (z, torch.from_numpy(labels), x))

    inputs = [torch.from_numpy(a).requires_grad_() for a in (logits, features, centers)]
    assert torch.autograd.gradcheck(value, inputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", LOSSES)
def test_stays_finite_at_extreme_inputs(name, dtype):
    rows = [[1e4, -1e4, 0, 0, 0, 0, 0], [-1e4] * 6 + [1e4], [1e4] * 7, [-1e4] * 7, [0] * 7]
    for labels in ([0, 0, 0, 0, 0], [1, 0, 3, 4, 5]):
        for batch in (5, 1):
            loss = create_loss(name, C, D if LOSSES[name][1] else None)
            logits = torch.tensor(rows[:batch], dtype=dtype, requires_grad=True)
            features = torch.zeros(batch, D, dtype=dtype, requires_grad=True)
            value = loss(logits, torch.tensor(labels[:batch]), features)
            value.backward()
            assert value.isfinite()
            assert value.dtype == torch.float32
            assert logits.grad.isfinite().all()
            loss.update_centers(features.detach(), torch.tensor(labels[:batch]))
            assert all(t.isfinite().all() for t in loss.state_dict().values())


def test_confident_and_right_costs_nothing_confident_and_wrong_the_margin():
    logits = torch.tensor([[1e4, -1e4] + [-1e4] * 5], dtype=torch.float64)
    li = build("focal_li")
    assert li(logits, torch.tensor([0])).item() == pytest.approx(0.0, abs=1e-12)
    # p = 1 for class 0: its negative term is (1 - alpha) * 2e4 (less ln 6), class 1's positive one alpha * 2e4.
    assert li(logits, torch.tensor([1])).item() == pytest.approx(2e4 - 0.75 * np.log(6), rel=1e-9)


def test_zero_and_equal_centers_have_defined_pair_terms():
    def pair_term(centers):
        term = IslandTerm(len(centers), len(centers[0]), lambda1=1.0, center_update="gradient").double()
        term.centers.data.copy_(torch.tensor(centers))
        value = term(term.centers.detach()[:1].clone(), torch.tensor([0]))
        value.backward()
        assert term.centers.grad.isfinite().all()
        return value.item()

    assert pair_term([[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]) == pytest.approx(3 * 2)  # cosines count as 0
    assert pair_term([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]]) == pytest.approx(4 + 2 * 2)
    assert pair_term([[1.0, 0.0], [3.0, 0.0], [2.0, 0.0]]) == pytest.approx(2 * 3 * 2)  # parallel
    assert pair_term([[1.0, 0.0], [-2.0, 0.0]]) == pytest.approx(0.0)  # opposite


@pytest.mark.parametrize(
    ("case", "key"), [("center_loss-0", "extra::wen_center_delta"), ("island_loss-0", "extra::cai_center_delta")]
)
def test_centers_move_as_published(case, key):
    golden = np.load(GOLDEN / f"{case}.npz")
    args = json.loads(str(golden["meta"]))["args"]
    make = CenterTerm if case.startswith("center") else IslandTerm
    options = {"lambda1": args["lambda1"]} if make is IslandTerm else {}
    term = make(args["num_classes"], args["feat_dim"], center_rate=0.25, **options).double()
    start = torch.from_numpy(golden["param::centers"]).double()
    term.centers.copy_(start)
    term.update_centers(torch.from_numpy(golden["in0"]).double(), torch.from_numpy(golden["in1"]))
    assert not list(term.parameters())
    torch.testing.assert_close(term.centers, start - 0.25 * torch.from_numpy(golden[key]), rtol=1e-6, atol=1e-9)


def test_centers_by_gradient_are_a_parameter_that_updates_leave_alone():
    loss = create_loss("joint", C, D, center_update="gradient")
    features = torch.randn(4, D)
    loss(torch.randn(4, C), torch.arange(4), features).backward()
    assert loss.term.centers.grad[:4].abs().sum() > 0
    before = loss.term.centers.detach().clone()
    loss.update_centers(features, torch.arange(4))
    assert torch.equal(loss.term.centers, before)


def test_centers_resume_exactly():
    random = torch.Generator().manual_seed(0)
    batches = [(torch.randn(8, D, generator=random), torch.randint(0, C, (8,), generator=random)) for _ in range(6)]
    whole = create_loss("island", C, D)
    for batch in batches:
        whole.update_centers(*batch)
    first = create_loss("island", C, D)
    for batch in batches[:3]:
        first.update_centers(*batch)
    second = create_loss("island", C, D)
    second.load_state_dict(first.state_dict())
    for batch in batches[3:]:
        second.update_centers(*batch)
    assert whole.term.centers.abs().sum() > 0
    assert torch.equal(whole.term.centers, second.term.centers)


def test_centers_approach_their_classes_mean():
    loss = create_loss("center", 2, 1)
    features, labels = torch.tensor([[1.0], [3.0], [-1.0], [-3.0]]), torch.tensor([0, 0, 1, 1])
    for _ in range(60):
        loss.update_centers(features, labels)
    torch.testing.assert_close(loss.term.centers, torch.tensor([[2.0], [-2.0]]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: create_loss("focale", C), "unknown loss 'focale': did you mean focal"),
        (lambda: create_loss("focal", C, gama=1), "loss focal: unknown key 'gama': did you mean gamma"),
        (lambda: create_loss("cross_entropy", 0), "num_classes"),
        (lambda: create_loss("joint", C), "feature_dim"),
        (lambda: create_loss("joint", C, 0), "feature_dim"),
        (lambda: create_loss("focal", C, alpha=2), "alpha"),
        (lambda: create_loss("focal", C, gamma=-1), "gamma"),
        (lambda: create_loss("cross_entropy", C, label_smoothing=1.0), "label_smoothing"),
        (lambda: create_loss("cross_entropy", C, class_weights=[1.0]), "class_weights must be 7"),
        (lambda: create_loss("island", C, D, reduction="median"), "loss island: reduction: unknown value 'median'"),
        (lambda: create_loss("focal", C)(torch.zeros(2, 6), torch.zeros(2).long()), r"logits must be \[B, 7\]"),
        (lambda: create_loss("focal", C)(torch.zeros(2, C), torch.zeros(3).long()), r"targets must be \[2\]"),
        (lambda: create_loss("focal", C)(torch.zeros(2, C), torch.zeros(2)), r"float targets must be \[2, 7\]"),
        (lambda: create_loss("focal", C)(torch.zeros(2, C), torch.tensor([0, 7])), r"targets must lie in 0..6"),
        (lambda: create_loss("focal", C)(torch.zeros(2, C), torch.tensor([0, -1])), r"targets must lie in 0..6"),
        (
            lambda: create_loss("joint", C, D)(torch.zeros(2, C), torch.zeros(2).long()),
            r"features must be \[B, 5\]",
        ),
    ],
)
def test_wrong_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


# ---------------------------------------------------------------- reductions


@pytest.mark.parametrize("name", ["cross_entropy", "focal", "focal_li"])
def test_reductions_are_those_of_torch(name):
    generator = torch.Generator().manual_seed(0)
    logits, targets = torch.randn(5, 7, generator=generator), torch.tensor([0, 3, 6, 2, 2])
    each = create_loss(name, 7, reduction="none")(logits, targets)
    alone = torch.stack([create_loss(name, 7)(logits[i : i + 1], targets[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(each, alone)
    torch.testing.assert_close(create_loss(name, 7, reduction="sum")(logits, targets), alone.sum())
    torch.testing.assert_close(create_loss(name, 7, reduction="mean")(logits, targets), alone.mean())
    with pytest.raises(ValueError, match="reduction"):
        create_loss(name, 7, reduction="average")
    with pytest.raises(ValueError, match="unknown reduction 'average'"):
        type(create_loss(name, 7))(7, reduction="average")
