"""What came of a job, in words."""

from collections.abc import Iterator

from mien.batch.run import Report


def summary_lines(report: Report) -> Iterator[str]:
    """Tell what is done, what failed, how fast, and where the tables are.

    >>> from mien.batch.chunks import Tally
    >>> from mien.batch.places import Place
    >>> whole = Tally(done=1200, video_s=5400)
    >>> report = Report(out=Place("/out"), whole=whole, now=Tally(done=100), took_s=20,
    ...     doubled=0, first_doubled=None)
    >>> list(summary_lines(report))
    ['1,200 done, 0 failed, 1.50 hours', '100 clips in 20 s, 5.0 a second', '/out/predictions']
    """
    whole, now, took_s = report.whole, report.now, report.took_s
    kinds = ", ".join(f"{count:,} {kind}" for kind, count in sorted(whole.failed.items()))
    failed = f"{whole.failed.total():,} failed" + (f" ({kinds})" if kinds else "")
    yield f"{whole.done:,} done, {failed}, {whole.video_s / 3600:.2f} hours"
    yield f"{now.clips:,} clips in {took_s:,.0f} s, {now.clips / took_s:,.1f} a second"
    if report.doubled:
        yield f"{report.doubled:,} named again and done once, first {report.first_doubled}"
    if report.skipped:
        yield f"{len(report.skipped):,} folders left out, first: {report.skipped[0]}"
    yield (report.out / "predictions").url
    if whole.failed:
        yield (report.out / "errors").url
