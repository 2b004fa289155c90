# Airflow with nrtctl beside it, in an environment of its own: Airflow pins what it depends on.
#   docker build -f deploy/airflow.Dockerfile -t nrtctl-airflow:0.1.0 .
# The image and its users: https://airflow.apache.org/docs/docker-stack/build.html

FROM apache/airflow:3.3.2-python3.11
USER 0
WORKDIR /src
COPY pyproject.toml hatch_build.py README.md LICENSE constraints.txt ./
COPY src ./src
COPY deploy ./deploy
# PIP_USER: the image asks pip for installs into the user's home, which an environment refuses.
RUN python -m venv /opt/nrtctl && \
    PIP_USER=0 /opt/nrtctl/bin/pip install --no-cache-dir --constraint constraints.txt . && \
    ln -s /opt/nrtctl/bin/nrtctl /usr/local/bin/nrtctl && \
    rm -rf /src/*
WORKDIR /opt/airflow
USER 50000:0
