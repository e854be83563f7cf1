"""`acme export` and `acme serve`: a device's champion, for the device and over HTTP."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.command.table import print_rows
from tasks.servers.server import Server, mark, until_interrupted
from tasks.servers.services import environment
from tasks.settings.case import Case
from tasks.settings.fleet import Device
from tasks.settings.params import Settings, device_name, load
from tasks.tracking.store import tracking_uri

ASKED = {
    "image": ("pixels in 0..1, {shape}", "[[[[0.0, ...]]]]"),
    "text": ("texts, and answers with the class of each and its share", '["a text", "another"]'),
}
"""By modality, what a served model takes, and how it is asked."""


def export_device(
    device: str, name: str, int8: bool, out: Path | None, params: Path
) -> dict[str, Any]:
    """Export a device's champion and print what was measured.

    Raises:
        SettingsError: the fleet has no such device.
        RegistryError: it has no champion.
        DeliveryError: the export is not what was trained, or too large for the device.
    """
    from tasks.data.samples import read_info, samples_ref, tokenizer_ref
    from tasks.delivery.export import Source, export
    from tasks.run.compute import prepare
    from tasks.tracking.registry import Registry, device_model
    from tasks.tracking.state import state_file

    settings = load(params)
    prepare("cpu", settings.threads)
    chosen = find_device(settings, device)
    case = Case.here()
    model = device_model(case, chosen.name)
    champion = Registry(case.project).champion(model)
    place = out or case.export / chosen.name / (f"{name}-int8" if int8 else name)
    with tempfile.TemporaryDirectory() as scratch:
        state = state_file(champion, Path(scratch))
        samples, info = samples_ref(chosen.name, case.partition), read_info(case.partition)
        tokenizer = tokenizer_ref(case.partition)
        source = Source(chosen, model, champion.number, state, samples, info, tokenizer)
        manifest = export(source, name, int8, place)
    print_manifest(manifest, case.shown(place))
    return manifest


def find_device(settings: Settings, device: str) -> Device:
    """A device of the fleet, by name or id. Raises SettingsError if there is none."""
    name = device_name(settings, device)
    return next(d for d in settings.devices if d.name == name)


def print_manifest(manifest: dict[str, Any], place: Path) -> None:
    """The delivered model beside torch's."""
    measured = manifest["measured_here"]
    rows = [
        {
            "": who,
            "bytes": f"{measured[who]['bytes']:,}",
            "val accuracy": f"{measured[who]['val_accuracy']:.4f}",
            **{
                f"{p} ms, batch {batch}": f"{1e3 * measured[who][f'{p}_batch{batch}_s']:.3f}"
                for batch in (1, 32)
                for p in ("p50", "p90")
            },
        }
        for who in ("torch", "delivered")
    ]
    title = f"{manifest['device']}, version {manifest['version']}, as {manifest['format']}"
    print_rows(title, rows, left=("",))
    limit = manifest["limits"]["storage_limit_bytes"]
    print(f"Largest difference of the logits: {measured['max_difference']:.1e}")
    if manifest["int8"]:
        print(which_to_take(measured["float_bytes"], measured["delivered"]["bytes"]))
    print(f"{place}: {manifest['file']} fits the device ({limit:,} bytes). Measured here.")


def which_to_take(float_bytes: int, int8_bytes: int) -> str:
    """Whether INT8 is worth it, by both sizes of the file."""
    sizes = f"INT8 {int8_bytes:,} bytes, float {float_bytes:,}"
    if int8_bytes < float_bytes:
        share = 1 - int8_bytes / float_bytes
        return f"{sizes}: INT8 is {share:.0%} smaller; take it if its accuracy is enough"
    return (
        f"{sizes}: take the float one (without --int8). Only matrix products become INT8, and in a "
        "model this small what describes their scales weighs more than it saves"
    )


def serve_device(device: str, port: int, params: Path) -> None:
    """MLflow's model server with a device's champion, until interrupted."""
    settings = load(params)
    with serving_device(find_device(settings, device), port) as server:
        url, spec = server.address, settings.data
        what, inputs = ASKED[spec.modality]
        shape = f"(n, {spec.channels}, {spec.image_size}, {spec.image_size})"
        print(f"{url}/invocations takes {what.format(shape=shape)}:")
        print(f"""  curl {url}/invocations -H 'Content-Type: application/json' \\
       -d '{{"inputs": {inputs}}}'""")
        until_interrupted(server)


@contextmanager
def serving_device(device: Device, port: int) -> Iterator[Server]:
    """MLflow's model server on loopback while the block runs. It serves a model rebuilt from the
    champion's state: MLflow's loader would run what else is in the version.

    Raises:
        RegistryError: the device has no champion, or it is none of ours.
        StageError: the server does not start; names its log.
    """
    from tasks.tracking.registry import Registry, device_model
    from tasks.tracking.served import save_served
    from tasks.tracking.state import state_file

    case = Case.here()
    project = case.project
    champion = Registry(project).champion(device_model(case, device.name))
    with tempfile.TemporaryDirectory() as scratch:
        folder = save_served(state_file(champion, Path(scratch)), case.partition)
        where = ["--host", "127.0.0.1", "--port", str(port), "--env-manager", "local"]
        command = ["mlflow", "models", "serve", "-m", str(folder), *where]
        env = {**environment(case), "MLFLOW_TRACKING_URI": tracking_uri(project)}
        env |= mark(case.servers, "mlflow")
        health, log = f"http://127.0.0.1:{port}/ping", case.servers / "model-server.log"
        with Server("MLflow's model server", command, health, log, env) as server:
            yield server
