# The command, and a check of the whole project.
#
#     docker build --tag video-restyle .
#     docker run --rm --volume "$PWD":/films --user "$(id -u):$(id -g)" \
#         video-restyle film.mp4 film-clay.mp4 --backend preview
#
#     docker build --target checked .          runs the demo and all tests
#
# A ComfyUI on the machine itself: add --network host, or --backend http://host.docker.internal:8188.

FROM debian:bookworm-slim AS project
RUN apt-get update && \
    apt-get install --yes --no-install-recommends make python3 python3-venv && \
    rm -rf /var/lib/apt/lists/*
WORKDIR /project
COPY . .
RUN make install

FROM project AS checked
RUN apt-get update && \
    apt-get install --yes --no-install-recommends chromium && \
    rm -rf /var/lib/apt/lists/*
RUN make demo
RUN make test

FROM project
ENV PATH=/project/.venv/bin:$PATH
WORKDIR /films
ENTRYPOINT ["video-restyle"]
