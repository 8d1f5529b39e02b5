"""The workloads, in the order of the results."""

from workload import Workload

from workloads import (
    call_soon,
    clients,
    footprint,
    http,
    lifecycle,
    names,
    pipes,
    precision,
    processes,
    signals,
    tasks,
    tcp_accept,
    tcp_bulk,
    tcp_echo,
    tcp_idle,
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
    *precision.WORKLOADS,
    *tasks.WORKLOADS,
    *tcp_echo.WORKLOADS,
    *tcp_idle.WORKLOADS,
    *tcp_bulk.WORKLOADS,
    *tcp_accept.WORKLOADS,
    *tls.WORKLOADS,
    *unix.WORKLOADS,
    *udp.WORKLOADS,
    *pipes.WORKLOADS,
    *processes.WORKLOADS,
    *signals.WORKLOADS,
    *names.WORKLOADS,
    *http.WORKLOADS,
    *clients.WORKLOADS,
    *lifecycle.WORKLOADS,
    *footprint.WORKLOADS,
)
