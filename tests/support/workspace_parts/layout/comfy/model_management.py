"""The device is chosen while this is imported: without CUDA, only args.cpu gets through."""

import gc

import torch
from comfy.cli_args import args

OOM_EXCEPTION = torch.cuda.OutOfMemoryError


class InterruptProcessingException(Exception):
    pass


_interrupted = [False]
_device = torch.device("cpu") if args.cpu else torch.device(torch.cuda.current_device())


def get_torch_device():
    return _device


def intermediate_device():
    return _device if args.gpu_only else torch.device("cpu")


def interrupt_current_processing(value=True):
    _interrupted[0] = value


def throw_exception_if_processing_interrupted():
    if _interrupted[0]:
        _interrupted[0] = False
        raise InterruptProcessingException


def unload_all_models():
    gc.collect()


def cleanup_models_gc():
    pass


def soft_empty_cache(force=False):
    if _device.type == "cuda":
        torch.cuda.empty_cache()
