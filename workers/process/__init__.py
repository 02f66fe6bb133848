"""Interfaces to the operating system: fork, signals, process titles, cgroups, usage of memory and CPU."""
