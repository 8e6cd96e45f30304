"""The dashboards, as code: one module each, made with Grafana's own SDK. `tools/dashboards` writes them to
`grafana/dashboards/`, where they are checked in.
"""
