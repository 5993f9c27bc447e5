"""Schedules of the learning rate: the factor by which the peak rate is multiplied at each step."""


def linear_schedule(step: int, total_steps: int, warmup_steps: int = 0, power: float = 1.0) -> float:
    r"""Up in a straight line to 1, then down to 0 at the end.

        factor = step / warmup                                    for step < warmup
        factor = ((total - step) / (total - warmup))^power        afterwards; 0 from `total` on

    `step` is the number of steps done before: 0 at the first, whose factor is 0 if there is a warm-up.

    Source: get_linear_schedule_with_warmup and, for other powers, get_polynomial_decay_schedule_with_warmup (end 0) in
    transformers 4.37.2. Raises ValueError as `check_steps` does.
    """
    check_steps(step, total_steps, warmup_steps)
    if step < warmup_steps:
        return step / warmup_steps
    return (max(0, total_steps - step) / max(1, total_steps - warmup_steps)) ** power


def bert_schedule(step: int, total_steps: int, warmup_steps: int = 0, power: float = 1.0) -> float:
    r"""Polynomial decay from the first step on, times the warm-up.

        factor = (1 - step / total)^power * min(1, step / warmup)

    So the peak is 1 - warmup / total, a little less than 1, where `linear_schedule` reaches 1.

    Source: create_optimizer of the original code. Raises ValueError as `check_steps` does.
    """
    check_steps(step, total_steps, warmup_steps)
    rise = min(1.0, step / warmup_steps) if warmup_steps else 1.0
    return (1 - min(step, total_steps) / total_steps) ** power * rise


def constant_schedule(step: int, total_steps: int, warmup_steps: int = 0, power: float = 1.0) -> float:
    """Up in a straight line to 1, and there it stays. Raises ValueError as `check_steps` does."""
    check_steps(step, total_steps, warmup_steps)
    return min(1.0, step / warmup_steps) if warmup_steps else 1.0


SCHEDULES = {"linear": linear_schedule, "bert": bert_schedule, "constant": constant_schedule}


def check_steps(step: int, total_steps: int, warmup_steps: int) -> None:
    """Raise ValueError, naming the argument, unless 0 <= step, 1 <= total_steps and 0 <= warmup_steps <= total_steps."""
    if step < 0:
        raise ValueError(f"step: must not be negative, got {step}")
    if total_steps < 1:
        raise ValueError(f"total_steps: must be at least 1, got {total_steps}")
    if not 0 <= warmup_steps <= total_steps:
        raise ValueError(f"warmup_steps: must be between 0 and total_steps {total_steps}, got {warmup_steps}")
