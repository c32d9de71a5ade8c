"""The programs that our step is compared with, one file each."""
