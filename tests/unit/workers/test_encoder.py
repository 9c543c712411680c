import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, DistilBertConfig, DistilBertModel, XLMRobertaConfig, XLMRobertaModel

from core.errors import ConfigurationError, ModelUnavailable
from core.types import Role
from workers.encoder import TorchEncoder

TEXTS = ["how reset the password?", "密码", "怎么 重置 密码 the the the the the the", ""]


@pytest.fixture(scope="module")
def encoder(tiny_folder: Path) -> TorchEncoder:
    return TorchEncoder(tiny_folder, device="cpu", precision="fp32", threads=1)


def copy_of(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / folder.name))


def put_weights(model: torch.nn.Module, folder: Path) -> None:
    """Puts another architecture in place of the folder's own."""
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder)  # type: ignore[operator]


def vectors_of_transformers(folder: Path, encoder: TorchEncoder, text: str) -> np.ndarray:
    ids = torch.tensor([encoder.tokenize([text], Role.PASSAGE)[0].ids])
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()(input_ids=ids).last_hidden_state
    return torch.nn.functional.normalize(hidden.mean(1), dim=1)[0].numpy()


def test_company_in_a_batch_changes_no_vector(encoder: TorchEncoder) -> None:
    together = encoder.encode(TEXTS, Role.QUERY)
    alone = np.stack([encoder.encode([text], Role.QUERY)[0] for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)


def test_bf16_vectors_are_interchangeable_with_fp32_ones(tiny_folder: Path, encoder: TorchEncoder) -> None:
    coarse = TorchEncoder(tiny_folder, device="cpu", precision="bf16", threads=1)
    assert coarse.model_id == encoder.model_id
    assert (coarse.encode(TEXTS, Role.QUERY) * encoder.encode(TEXTS, Role.QUERY)).sum(1).min() > 0.999


def test_token_vectors_are_those_of_the_text_without_prefix_and_special_tokens(encoder: TorchEncoder) -> None:
    asked, unasked = encoder.tokenize(["reset the password"], Role.QUERY, wants_tokens=True) + encoder.tokenize(["reset"], Role.QUERY)
    with_tokens, without = encoder.forward([asked, unasked])
    assert with_tokens.token_vectors is not None and with_tokens.token_vectors.shape == (3, 32)
    np.testing.assert_allclose(np.linalg.norm(with_tokens.token_vectors, axis=1), 1.0, atol=1e-5)
    assert without.token_vectors is None


def test_roles_have_their_own_prefixes_and_settings_win_over_files(tiny_folder: Path, encoder: TorchEncoder) -> None:
    query, passage = encoder.encode(["password"], Role.QUERY), encoder.encode(["password"], Role.PASSAGE)
    assert not np.allclose(query, passage, atol=1e-3)
    renamed = TorchEncoder(tiny_folder, device="cpu", precision="fp32", query_prefix="passage: ")
    np.testing.assert_allclose(renamed.encode(["password"], Role.QUERY), passage, atol=1e-5)
    assert renamed.model_id != encoder.model_id


def test_a_long_text_is_cut_to_the_models_length(encoder: TorchEncoder) -> None:
    (long,) = encoder.tokenize(["the " * 5000], Role.PASSAGE, wants_tokens=True)
    assert len(long.ids) == 32 and long.ids[-1] == 2
    assert len(encoder.forward([long])[0].token_vectors) == long.end - long.start  # type: ignore[arg-type]


def test_pooling_follows_the_folder(tiny_folder: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny_folder, tmp_path)
    (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    encoder = TorchEncoder(folder, device="cpu", precision="fp32")
    ids = torch.tensor([encoder.tokenize(["reset"], Role.QUERY)[0].ids])
    with torch.no_grad():
        hidden = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()(input_ids=ids).last_hidden_state
    expected = torch.nn.functional.normalize(hidden[:, 0], dim=1).numpy()
    np.testing.assert_allclose(encoder.encode(["reset"], Role.QUERY), expected, atol=1e-5)


@pytest.mark.parametrize("architecture", ["xlm-roberta", "distilbert"])
def test_other_architectures_give_what_transformers_gives(architecture: str, tiny_folder: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny_folder, tmp_path)
    torch.manual_seed(0)
    if architecture == "xlm-roberta":
        config = XLMRobertaConfig(
            vocab_size=80, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, max_position_embeddings=34
        )
        put_weights(XLMRobertaModel(config, add_pooling_layer=False), folder)
    else:
        put_weights(DistilBertModel(DistilBertConfig(vocab_size=80, dim=32, n_layers=2, n_heads=2, hidden_dim=64)), folder)
    encoder = TorchEncoder(folder, device="cpu", precision="fp32")
    expected = vectors_of_transformers(folder, encoder, "how reset the password")
    np.testing.assert_allclose(encoder.encode(["密码", "how reset the password"], Role.PASSAGE)[1], expected, atol=1e-5)


def test_a_step_that_is_not_run_here_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    folder = copy_of(tiny_folder, tmp_path)
    (folder / "modules.json").write_text(json.dumps([{"type": "sentence_transformers.models.Dense", "path": "3_Dense"}]))
    with pytest.raises(ConfigurationError, match="Dense"):
        TorchEncoder(folder, device="cpu")


def test_int8_vectors_lie_near_those_of_fp32_alone_and_in_company(
    tiny_folder: Path, encoder: TorchEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_vnni": True})
    coarse = TorchEncoder(tiny_folder, device="cpu", precision="int8", threads=1)
    together = coarse.encode(TEXTS, Role.QUERY)
    alone = np.stack([coarse.encode([text], Role.QUERY)[0] for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-3)
    assert (together * encoder.encode(TEXTS, Role.QUERY)).sum(1).min() > 0.98


def test_an_int8_index_is_not_mixed_with_another(tiny_folder: Path, encoder: TorchEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx_vnni": True})
    name, _, facts = TorchEncoder(tiny_folder, device="cpu", precision="int8", threads=1).model_id.partition("@")
    assert name == "tiny-int8" and encoder.model_id == f"tiny@{facts}"


def test_a_precision_that_would_be_slow_is_refused(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    for precision in ("int8", "fp16"):
        with pytest.raises(ConfigurationError, match=precision):
            TorchEncoder(tiny_folder, device="cpu", precision=precision)


def test_int8_of_an_architecture_that_is_not_computed_here_is_refused(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_vnni": True})
    folder = copy_of(tiny_folder, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_act": "relu"}))
    with pytest.raises(ConfigurationError, match="int8"):
        TorchEncoder(folder, device="cpu", precision="int8")


def test_a_folder_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"config\.json"):
        TorchEncoder(tmp_path, device="cpu")
