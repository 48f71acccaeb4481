"""Nets and attention blocks: everything that maps pictures to class scores."""

from fer_lib.models.registry import attn_layer, create_model, list_models, register_block

__all__ = ["attn_layer", "create_model", "list_models", "register_block"]
