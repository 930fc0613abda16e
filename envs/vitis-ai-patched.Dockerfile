# AMD's container with conda packages that AMD published after it; docs/vitis-ai.md has the command.
ARG IMAGE
FROM ${IMAGE}
ARG ENVIRONMENT=vitis-ai-tensorflow2
ARG PATCHES
SHELL ["/bin/bash", "-c"]
RUN . /opt/vitis_ai/conda/etc/profile.d/conda.sh && cd /tmp && for patch in ${PATCHES}; do \
      wget -q -O "$patch" "https://www.xilinx.com/bin/public/openDownload?filename=$patch" && \
      conda install -y -n "${ENVIRONMENT}" "./$patch" && rm "$patch" || exit 1; \
    done
