"""AdamW's moments in 8 bits each. fp32 moments ↔ codes and what the blocks of BLOCK codes share.

A block's moment has floats of its own: they end with its greatest exponent, zero is code 0, and how many bits of a code
are mantissa is decided by how far apart the block's second moments are. The narrower a block, the finer its floats.

    second moments within    2^3     2^7     2^15    2^31    2^63
    their mantissa           6 bits  5       4       3       2        steps of 1.6, 3.1, 6.3, 12.5, 25 % at most

What lies between two codes becomes one of them by chance, as often as makes the mean right: rounded to the nearest, a
second moment that changes by 1 % a step would never change. Chance is made of the numbers themselves and the step, so a
run repeats bit for bit. A second moment never becomes zero by rounding, for the step divides by it.

Axes: b blocks, w numbers of a block.
"""

import torch

BLOCK = 256
FIRST_CODES, SECOND_CODES = 127, 255  # beside zero; the first moment's sign takes a bit
# A bit of mantissa less where the second moments of a block span more than so many powers of two. First moments span
# half as many, and 16 times less than the least of them is to be a number yet.
SECOND_WIDTH, SECOND_LIMITS = 6, (3, 7, 15, 31)
FIRST_WIDTH, FIRST_LIMITS = 4, (4, 20)
MANTISSA = 23  # bits of fp32
LEAST_NORMAL = 1 << MANTISSA  # as bits; what is less counts as zero


STATES = (torch.int8, torch.int8, torch.uint8, torch.int32)  # a master's rest, both moments, what each block shares


def state_sizes(num_numbers: int) -> tuple[int, int, int, int]:
    """How many of each of STATES so many numbers have."""
    return num_numbers, num_numbers, num_numbers, -(-num_numbers // BLOCK)


def state_bytes(num_numbers: int) -> int:
    """Bytes of the states of so many numbers."""
    return sum(size * kind.itemsize for size, kind in zip(state_sizes(num_numbers), STATES, strict=True))


def chance(first_bw: torch.Tensor, second_bw: torch.Tensor, num_steps: torch.Tensor) -> torch.Tensor:
    """32 random bits for each number, (b, w) int32, from its fp32 moments, its place in the block and the step."""
    place_w = torch.arange(first_bw.shape[1], dtype=torch.int32, device=first_bw.device)
    place_w = place_w * 0x297A2D39 + num_steps.int() * 0x1B56C4E9
    return mixed(first_bw.view(torch.int32) ^ (second_bw.view(torch.int32) * 0x2C1B3C6D) ^ place_w)


def mixed(bits: torch.Tensor) -> torch.Tensor:
    """int32 of which every bit depends on every bit of what was given (Wellons' lowbias32)."""
    bits = (bits ^ ((bits >> 16) & 0xFFFF)) * 0x7FEB352D
    bits = (bits ^ ((bits >> 15) & 0x1FFFF)) * (0x846CA68B - 2**32)
    return bits ^ ((bits >> 16) & 0xFFFF)


def coded(
    first_bw: torch.Tensor, second_bw: torch.Tensor, chance_bw: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Codes of both moments, int8 and uint8 (b, w), and what each block shares, int32 (b, 1)."""
    size_bw, second_bits_bw = first_bw.abs(), second_bw.view(torch.int32)
    size_bits_bw = size_bw.view(torch.int32)
    first_top, second_top = (bits.amax(1, keepdim=True) >> MANTISSA for bits in (size_bits_bw, second_bits_bw))
    is_some_bw = second_bits_bw >= LEAST_NORMAL
    least = torch.where(is_some_bw, second_bits_bw, 0x7F000000).amin(1, keepdim=True) >> MANTISSA
    span = second_top - least + 1
    first_width, second_width = _width(span, FIRST_WIDTH, FIRST_LIMITS), _width(span, SECOND_WIDTH, SECOND_LIMITS)
    shared = (first_top << 16) + (second_top << 8) + (first_width << 4) + second_width

    first_floor = _floor(first_top, first_width, FIRST_CODES)
    code_bw = _rounded(size_bits_bw, first_width, chance_bw) - first_floor
    smallest = _bits(first_floor + 1, first_width)  # what is less is this or zero
    is_up_bw = size_bw > smallest.view(torch.float32) * ((chance_bw & 0xFFFFFF).float() / 2**24)
    code_bw = torch.where(size_bits_bw < smallest, is_up_bw.int(), code_bw)
    first_codes_bw = torch.where(first_bw < 0, -code_bw, code_bw).to(torch.int8)

    code_bw = _rounded(second_bits_bw, second_width, mixed(chance_bw)) - _floor(second_top, second_width, SECOND_CODES)
    second_codes_bw = torch.where(is_some_bw, code_bw.clamp(min=1), 0).to(torch.uint8)
    return first_codes_bw, second_codes_bw, shared


def decoded(
    first_codes_bw: torch.Tensor, second_codes_bw: torch.Tensor, shared: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Both moments in fp32, (b, w), of their codes and what each block shares, (b, 1)."""
    code_bw = first_codes_bw.int()
    first_bw = _value(code_bw.abs(), shared >> 16, (shared >> 4) & 15, FIRST_CODES)
    second_bw = _value(second_codes_bw.int(), (shared >> 8) & 255, shared & 15, SECOND_CODES)
    return torch.where(code_bw < 0, -first_bw, first_bw), second_bw


def _value(code_bw: torch.Tensor, top: torch.Tensor, width: torch.Tensor, num_codes: int) -> torch.Tensor:
    bits_bw = _bits(code_bw + _floor(top, width, num_codes), width)
    return torch.where(code_bw > 0, bits_bw, 0).view(torch.float32)


def _width(span: torch.Tensor, most: int, limits: tuple[int, ...]) -> torch.Tensor:
    """`most` bits of mantissa, less one for each limit that a block's span is above."""
    width = torch.full_like(span, most)
    for limit in limits:
        width = width - (span > limit).int()
    return width


def _floor(top: torch.Tensor, width: torch.Tensor, num_codes: int) -> torch.Tensor:
    """What code 0 stands for, counted in steps of `width` bits of mantissa from 0.0: the last code is 2^(top + 1)."""
    return (((top + 1) << width) - num_codes).clamp(min=0)


def _bits(steps: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
    return steps << (MANTISSA - width)


def _rounded(bits_bw: torch.Tensor, width: torch.Tensor, chance_bw: torch.Tensor) -> torch.Tensor:
    """Positive fp32 numbers, as bits, in steps of `width` bits of mantissa: up as often as they are near to it."""
    shift = MANTISSA - width
    return (bits_bw + (chance_bw & ((1 << shift) - 1))) >> shift
