"""The workloads, in the order of the results."""

from workload import Workload

from workloads import (
    call_soon,
    footprint,
    http,
    lifecycle,
    names,
    pipes,
    processes,
    signals,
    tasks,
    tcp_accept,
    tcp_echo,
    threadsafe,
    timers,
    tls,
    udp,
    unix,
)

ALL: tuple[Workload, ...] = (
    *call_soon.WORKLOADS,
    *threadsafe.WORKLOADS,
    *timers.WORKLOADS,
    *tasks.WORKLOADS,
    *tcp_echo.WORKLOADS,
    *tcp_accept.WORKLOADS,
    *tls.WORKLOADS,
    *unix.WORKLOADS,
    *udp.WORKLOADS,
    *pipes.WORKLOADS,
    *processes.WORKLOADS,
    *signals.WORKLOADS,
    *names.WORKLOADS,
    *http.WORKLOADS,
    *lifecycle.WORKLOADS,
    *footprint.WORKLOADS,
)
