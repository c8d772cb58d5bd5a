# Two stages: `build` has what building and testing need; the image itself is Debian 12 with wisp's package in it.
#
#   docker build -t wisp .                                    makes the image
#   docker run --rm wisp                                      says what it can do
#   docker run --rm --device /dev/kvm wisp wisp doctor        can this host run machines?
#   docker build --target build -t wisp-build .               the stage for developers and continuous integration
#   docker run --rm --device /dev/kvm wisp-build scripts/test runs every lane; without --device the kvm lane is skipped
FROM debian:12 AS build

WORKDIR /wisp
# The scripts alone first: the packages are a layer of their own, which a change of the sources does not repeat.
COPY scripts/setup scripts/setup
COPY scripts/lib scripts/lib
RUN scripts/setup --group all && rm -rf /var/lib/apt/lists/*

COPY . .
# The history is not copied, so the time that the release carries is given: --build-arg SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
# gives the bytes that scripts/release gives outside.
ARG SOURCE_DATE_EPOCH=0
RUN SOURCE_DATE_EPOCH=$SOURCE_DATE_EPOCH scripts/release

CMD ["scripts/test"]

FROM debian:12

COPY --from=build /wisp/build/dist/*.deb /tmp/
RUN dpkg -i /tmp/*.deb && rm /tmp/*.deb

# Prints the commands with examples; the first of them, wisp doctor, tells what this container lacks to run machines.
CMD ["wisp", "help"]
