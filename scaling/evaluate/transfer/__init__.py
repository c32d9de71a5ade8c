"""Fine-tuning a finished model on a task with labels: the measurement `transfer`.

To add a kind of task, write a file with a `Task` (see `task.py`) and name it in `tasks.py`.
"""
