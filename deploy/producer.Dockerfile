# Sends events: generated ones, or those of `produce --input`.
#   docker build -f deploy/producer.Dockerfile -t nrtctl-producer:0.1.0 .
# Down to USER it is the same as the other Dockerfile, so that the two images share their layers.

# This one has a C compiler.
FROM python:3.13.15-trixie AS build
WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENSE constraints.txt ./
COPY src ./src
COPY deploy ./deploy
# Without the extra `local`: no embedded broker, no embedded engine.
RUN python -m venv /opt/nrtctl && \
    /opt/nrtctl/bin/pip install --no-cache-dir --constraint constraints.txt .

FROM python:3.13.15-slim-trixie
RUN useradd --system --uid 10001 --user-group --no-create-home nrtctl
COPY --from=build /opt/nrtctl /opt/nrtctl
ENV PATH=/opt/nrtctl/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NRTCTL_STACK__KIND=external
# nrtctl.toml is looked for here; without one it is the reference pipeline.
WORKDIR /etc/nrtctl
USER 10001:10001

EXPOSE 9102
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.build_opener(r.ProxyHandler({})).open('http://127.0.0.1:9102/healthz', timeout=4)"]
# No shell between: SIGTERM reaches nrtctl, which finishes what is under way.
ENTRYPOINT ["nrtctl"]
CMD ["produce", "--metrics-host", "0.0.0.0", "--metrics-port", "9102"]
