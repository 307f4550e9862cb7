"""Everything that can go wrong and be told to a user: one tree, each class mapped once.

``exit_code`` is what the command line ends with, ``http_status`` what a service answers with.
Nothing else in mien translates errors.
"""

from typing import ClassVar


class MienError(Exception):
    """Root of all errors that mien raises on purpose; the message names the cure."""

    exit_code: ClassVar[int] = 2
    http_status: ClassVar[int] = 500


class InvalidArgument(MienError, ValueError):
    """An argument is not what the function expects."""

    http_status = 422


class UnreadableClip(MienError):
    """A clip cannot be opened or holds neither picture nor sound; the other clips go on."""

    exit_code = 1
    http_status = 422


class WorkerCrashed(MienError):
    """The process that read a clip ended over it."""

    exit_code = 1


class WorkerUnfit(MienError):
    """The machine of a worker lacks what any clip needs: no clip is to blame."""


class ClipTimedOut(MienError):
    """A clip took longer than it was given."""

    exit_code = 1
    http_status = 504


class ClusterUnavailable(MienError):
    """There is no Ray cluster at the address, or it went away."""

    http_status = 503


class MissingDependency(MienError):
    """The task needs an optional part of mien that is not installed."""


class DeviceUnavailable(MienError):
    """The device that was asked for is not there; mien never falls back silently."""


class NoEmbedder(MienError):
    """An embedder cannot be found, downloaded or read."""


class BundleError(MienError):
    """A bundle cannot be used."""


class BundleNotFound(BundleError):
    """There is no bundle at that place, or one of its files is missing."""


class BundleChanged(BundleError):
    """A file of the bundle differs from the checksum that its manifest holds."""


class BundleTooNew(BundleError):
    """The bundle was written by a newer mien than this one."""


class BundleMismatch(BundleError):
    """The bundle's labels, shapes or golden output are not what this mien expects."""


class TrainingDataError(MienError):
    """A corpus cannot be trained on as it is."""


class DownloadFailed(MienError):
    """A file cannot be fetched, or came wrong."""

    exit_code = 1
    http_status = 502


class LeakError(TrainingDataError):
    """A tested clip, a copy of it or its speaker would be trained on."""


class ServiceError(MienError):
    """A request to the service cannot be answered."""


class NotAuthorised(ServiceError):
    """The access token is missing or wrong."""

    http_status = 401


class OriginRefused(ServiceError):
    """A page of another place, or one that goes by another name, asks."""

    http_status = 403


class UploadTooSlow(ServiceError):
    """A client sends too slowly to be waited for."""

    http_status = 408


class UploadTooLarge(ServiceError):
    """An upload is larger than the service takes."""

    http_status = 413


class ClipTooLong(ServiceError):
    """A clip lasts longer than the service takes."""

    http_status = 422


class LimitExceeded(ServiceError):
    """Reading a clip took more time or memory than the service grants, or broke its reader."""

    http_status = 422


class ServiceBusy(ServiceError):
    """All places are taken; the same request may succeed later."""

    http_status = 503


class ServiceFailed(ServiceError):
    """The service refused, failed or went away, as its client sees it."""

    exit_code = 1
    http_status = 502
