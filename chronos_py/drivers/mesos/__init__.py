"""Tasks on an Apache Mesos cluster, by its v1 scheduler API."""
