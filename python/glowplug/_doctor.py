"""``glowplug doctor``: what a client would use, how one request fares, and what is wrong, in words.

Loaded by the command line only. Nothing that it shows is a secret.
"""

# The doctor reads what its own package keeps to itself.
# pyright: reportPrivateUsage=false

from __future__ import annotations

import json
import os
import platform

from . import __version__, _runtime, errors
from ._s3 import S3

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

SKEW_REFUSED = 15 * 60.0  # seconds; S3 refuses requests that are off by more (RequestTimeTooSkewed)
SKEW_NOTED = 60.0  # seconds that are worth a word
CERTIFICATE_ENDS = 14  # days ahead that are worth a word

# Who issues the certificates of AWS's endpoints; another issuer means that somebody between reads along.
AWS_ISSUERS = ("Amazon", "DigiCert", "Starfield")
AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".amazonaws.eu", ".api.aws", ".c2s.ic.gov", ".sc2s.sgov.gov")


def examine(*, region: str | None = None, endpoint_url: str | None = None, profile: str | None = None) -> tuple[dict[str, Any], errors.GlowplugError | None]:
    """Look at this process, its settings and one request.

    Returns:
        What was found, as JSON can hold it, with ``findings`` in words; and the error
        that a client would meet, None where the request succeeds.
    """
    report: dict[str, Any] = _process()
    try:
        report["go"] = _runtime.native().pybind_Info("").split(_runtime.UNIT)[1]
        with S3(region=region, endpoint_url=endpoint_url, profile=profile, max_attempts=1, preconnect=False) as s3:
            answer, _ = s3._call("doctor", "", s3._deadline(None, None, 0))
        report |= json.loads(answer[1:])
    except errors.GlowplugError as e:
        report["findings"] = [_finding("problem", e.code or e.kind, e.message)]
        return report, e
    error = next((errors.decode(json.dumps(part["error"])) for part in (report["credentials"], report["request"]) if "error" in part), None)
    report["findings"] = list(_findings(report, error))
    return report, error


def _process() -> dict[str, Any]:
    function = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
    size = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "") if function else ""
    return {
        "glowplug": __version__,
        "wheel": _wheel_tags(),
        "go": None,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "libc": _libc(),
        "lambda": function,
        "memory_mb": int(size) if size.isdecimal() else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
    }


def _wheel_tags() -> list[str]:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        text = distribution("glowplug").read_text("WHEEL") or ""
    except PackageNotFoundError:
        text = ""
    return [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("Tag:")]


def _libc() -> str | None:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        return None


def _finding(level: str, code: str, text: str) -> dict[str, str]:
    return {"level": level, "code": code, "text": text}


def _findings(report: dict[str, Any], error: errors.GlowplugError | None) -> Iterator[dict[str, str]]:
    """Say what is wrong: each ``problem`` ends a call, each ``warning`` may."""
    request = report["request"]
    skew = float(request["clock_skew_s"] or 0)
    skewed = abs(skew) >= SKEW_NOTED
    if skewed:
        way = "behind" if skew > 0 else "ahead of"
        refused = abs(skew) > SKEW_REFUSED or error is not None and error.code == "RequestTimeTooSkewed"
        yield _finding(
            "problem" if refused and error is not None else "warning",
            "ClockSkew",
            f"this machine's clock is {_minutes(abs(skew))} {way} the server's, and S3 refuses requests that are off by more than 15 min: set the clock, for example with chronyd or ntpd",
        )
    if error is not None and not (skewed and error.code == "RequestTimeTooSkewed"):
        yield _finding("problem", error.code or error.kind, _advice(report, error))
    # Without credentials the request is another, whose failure is worth a word as well.
    if "error" in report["credentials"] and "error" in request:
        second = errors.decode(json.dumps(request["error"]))
        yield _finding("problem", second.code or second.kind, _advice(report, second))
    certificate = request["certificate"]
    if certificate is not None:
        yield from _about_certificate(report, certificate)


def _minutes(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _advice(report: dict[str, Any], error: errors.GlowplugError) -> str:
    request, endpoint = report["request"], report["endpoint"]
    where = endpoint["source"] or "region"
    if request["status"] and "html" in request["content_type"].lower():
        return (
            f"{endpoint['value']} answers HTML (HTTP {request['status']}) where S3 answers XML: it is a web page, a login portal or a load balancer; "
            f"correct the endpoint ({where}), or the proxy that answers in its place"
        )
    issuer = request["certificate"]["issuer"] if request["certificate"] is not None else ""
    if error.code in ("CertificateNotTrusted", "CertificateHostMismatch") and issuer and _is_aws(endpoint["value"]) and not _is_aws_issuer(issuer):
        return (
            f"TLS is intercepted: the certificate shown for {endpoint['value']} is issued by {issuer}, which AWS does not use, and is refused ({error.code}); "
            "if that is your proxy, set AWS_CA_BUNDLE to a PEM file with its root, or have it let AWS's hosts pass"
        )
    if error.code == "CertificateNotTrusted" and issuer:
        return f"the certificate of {endpoint['value']} is issued by {issuer}, which {_trusted(report)} does not hold: set AWS_CA_BUNDLE to a PEM file with its root"
    if error.code == "CertificateExpired" and issuer:
        return f"the certificate of {endpoint['value']} is valid until {request['certificate']['expires']}, or not yet: renew it, or correct this machine's clock"
    if isinstance(error, errors.AccessDeniedError):
        return (
            f"S3 knows the credentials ({report['credentials']['source']}), and their policy does not allow the listing: "
            f'allow the IAM action s3:ListAllMyBuckets on the resource "*", and look for a denial in SCPs, permission boundaries and VPC endpoint policies ({error})'
        )
    if isinstance(error, errors.CredentialsError) and error.status:
        return f"S3 refuses the credentials from {report['credentials']['source']}: {error}"
    return error.message


def _trusted(report: dict[str, Any]) -> str:
    return "the trust store (" + (", ".join(report["trust"]["files"] or ()) or report["trust"]["source"]) + ")"


def _is_aws(endpoint: str) -> bool:
    host = endpoint.partition("://")[2].partition("/")[0].partition(":")[0]
    return host.endswith(AWS_DOMAINS)


def _is_aws_issuer(issuer: str) -> bool:
    return any(f"O={name}" in issuer for name in AWS_ISSUERS)


def _about_certificate(report: dict[str, Any], certificate: dict[str, str]) -> Iterator[dict[str, str]]:
    if not certificate["tls"]:
        return  # refused: the error says why
    if _is_aws(report["endpoint"]["value"]) and not _is_aws_issuer(certificate["issuer"]):
        yield _finding(
            "warning", "TLSIntercepted", f"TLS is intercepted: the certificate is issued by {certificate['issuer']}, which AWS does not use; what sits there reads every request"
        )
    from datetime import datetime, timezone

    ends = datetime.strptime(certificate["expires"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    days = (ends - datetime.now(timezone.utc)).days
    if days < CERTIFICATE_ENDS:
        yield _finding("warning", "CertificateEnds", f"the server's certificate ends in {days} days: have it renewed")


def lines(report: dict[str, Any]) -> Iterator[str]:
    """Yield the report for a person: a line each, the findings last."""

    def line(name: str, text: object) -> str:
        return f"{name:<13}{text}"

    yield line("glowplug", f"{report['glowplug']}, wheel {', '.join(report['wheel']) or 'unknown: its dist-info is not there'}")
    yield line("go", (report["go"] or "not loaded").removeprefix("go"))
    yield line("python", report["python"])
    yield line("platform", f"{report['platform']}, {report['libc'] or 'a libc that is not glibc'}")
    yield line("memory", f"{report['memory_mb']:,} MB")
    yield line("lambda", report["lambda"] or "no")
    if "request" in report:
        yield from (line(name, text) for name, text in _about_client(report))
    yield ""
    findings: list[dict[str, str]] = report["findings"]
    if not findings:
        yield "All is well."
    for finding in findings:
        yield f"{finding['level']}: {finding['text']}"


def _about_client(report: dict[str, Any]) -> Iterator[tuple[str, str]]:
    trust, credentials, request = report["trust"], report["credentials"], report["request"]
    yield "profile", report["profile"]
    yield "region", f"{report['region']['value']} ({report['region']['source']})"
    yield "endpoint", f"{report['endpoint']['value']} ({report['endpoint']['source'] or 'that of the region'})"
    yield "proxy", f"{report['proxy']['value']} ({report['proxy']['source']})" if report["proxy"] else "none"
    if "error" in trust:
        yield "trust store", f"none ({trust['source']}): {trust['error']['message']}"
    else:
        yield "trust store", f"{', '.join(trust['files'])} ({trust['source']}): {trust['certificates']} certificates"
    got = f", got in {credentials['ms']:.1f} ms" if credentials["ms"] is not None else ", which gives none"
    yield "credentials", credentials["source"] + got if credentials["source"] else "none"
    status = f"HTTP {request['status']}" if request["status"] else "no answer"
    to = f" from {request['address']}" if request["address"] else ""
    named = f", request id {request['request_id']}" if request["request_id"] else ""
    yield "request", f"{request['operation'] or 'unsigned GET'}: {status}{to}{named}"
    steps = (("DNS", "dns_ms"), ("TCP", "tcp_ms"), ("TLS", "tls_ms"), ("first byte", "first_byte_ms"), ("all", "total_ms"))
    yield "times", ", ".join(f"{name} {request[key]:.1f} ms" for name, key in steps if request[key] is not None) or "none"
    if request["certificate"] is not None:
        certificate = request["certificate"]
        yield "tls", f"{certificate['tls'] or 'refused'}, certificate of {certificate['subject']}, issued by {certificate['issuer']}, until {certificate['expires']}"
    if request["clock_skew_s"] is not None:
        skew = round(-request["clock_skew_s"])
        yield "clock", f"{skew:+d} s against the server's" if skew else "as the server's"


def show(report: dict[str, Any], *, as_json: bool) -> None:
    """Print the report."""
    if as_json:
        print(json.dumps(report, indent=2))
        return
    for text in lines(report):
        # A server's words, as in its certificate, may not steer the terminal.
        print(text if text.isprintable() else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text))
