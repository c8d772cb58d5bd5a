# The image that developers and continuous integration build and test in: Debian 12 with what scripts/setup installs.
#
#   docker build -t wisp .                                   builds the programs
#   docker run --rm --device /dev/kvm wisp                   runs every lane; without --device the kvm lane is skipped
FROM debian:12

WORKDIR /wisp
# The scripts alone first: the packages are a layer of their own, which a change of the sources does not repeat.
COPY scripts/setup scripts/setup
COPY scripts/lib scripts/lib
RUN scripts/setup --group all && rm -rf /var/lib/apt/lists/*

COPY . .
RUN scripts/build release

CMD ["scripts/test"]
